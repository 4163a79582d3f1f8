"""Help texts of settings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection

_URL = re.compile(r"(?<![<(`\"'])https?://[^\s<>)`\"']+[^\s<>)`\"'.,;:]")
_CODE = re.compile(r"`([^`]+)`")
_DEPRECATED = re.compile(r"\bDEPRECATED\b")


def as_markdown(text: str, section: str, names: Collection[str], own_name: str = "") -> str:
    """Return a help text as MyST Markdown.

    A paragraph that ends with ``::`` announces the indented block after it; URLs and the names
    of other settings become links.

    Args:
        section: the class the names belong to, e.g. ``KubeSpawner``.
        names: of all settings of ``section``.
        own_name: the setting that the text is about; it is not linked.
    """

    def linked(name: str) -> str | None:
        short = name.removeprefix(f"{section}.")
        if short not in names or short == own_name:
            return None
        return f"{{setting}}`{name} <{section}.{short}>`"

    paragraphs = []
    for block in _blocks(inspect.cleandoc(text)):
        if block.startswith("    "):
            paragraphs.append(f"```python\n{inspect.cleandoc(block)}\n```")
        else:
            paragraphs.append(_prose(block, linked))
    return "\n\n".join(paragraphs)


def _blocks(text: str) -> list[str]:
    """Split into paragraphs; an indented block with empty lines in it stays one."""
    blocks: list[str] = []
    literal = False
    for paragraph in re.split(r"\n\s*\n", text):
        indented = paragraph.startswith("    ")
        if literal and indented and blocks[-1].startswith("    "):
            blocks[-1] += f"\n\n{paragraph}"
            continue
        blocks.append(paragraph)
        literal = paragraph.rstrip().endswith("::") or (literal and indented)
    return blocks


def _prose(block: str, linked: Callable[[str], str | None]) -> str:
    if block.rstrip().endswith("::"):
        block = block.rstrip()[:-1]
    # Link by link between the pieces of code, which stay as they are.
    parts = _CODE.split(block)
    for index, part in enumerate(parts):
        if index % 2:
            parts[index] = linked(part) or f"`{part}`"
        else:
            part = _URL.sub(lambda match: f"<{match[0]}>", part)
            parts[index] = _DEPRECATED.sub("**Deprecated**", part)
    return "".join(parts)
