"""Python in help texts and on pages: it is valid, and configurations have no mistakes."""

from __future__ import annotations

import ast
import inspect
import re
import sys

import pytest
from traitlets.config import Config

from kubespawner import KubeSpawner
from kubespawner.proxy import KubeGatewayProxy, KubeIngressProxy
from kubespawner.startcheck import configuration_mistakes

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from helptext import as_markdown

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def from_help_texts():
    for cls in (KubeSpawner, KubeIngressProxy, KubeGatewayProxy):
        for name, trait in cls.class_own_traits(config=True).items():
            text = as_markdown(trait.help, cls.__name__, ())
            for code in _BLOCK.findall(f"{text}\n"):
                yield f"{cls.__name__}.{name}", code


def from_pages():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        if not {"_generated", "_build"} & set(page.parts):
            for number, code in enumerate(_BLOCK.findall(page.read_text()), 1):
                yield f"{page.relative_to(ROOT)} {number}", code


SNIPPETS = [*from_help_texts(), *from_pages()]


@pytest.mark.parametrize(("where", "code"), SNIPPETS, ids=[where for where, _ in SNIPPETS])
def test_a_snippet_is_valid(where, code):
    ast.parse(code)
    if not re.search(r"^c\.\w+\.\w+", code, re.MULTILINE):
        return
    config = Config()
    exec(code, {"c": config})
    assert configuration_mistakes(KubeSpawner, config) == []
    for cls in (KubeIngressProxy, KubeGatewayProxy):
        assert configuration_mistakes(cls, config) == []


def test_there_are_snippets_of_both_kinds():
    assert len(list(from_help_texts())) > 20
    assert len(list(from_pages())) > 2


def test_a_snippet_that_is_wrong_is_found():
    config = Config()
    exec(inspect.cleandoc("c.KubeSpawner.imagee = 'x'"), {"c": config})
    assert configuration_mistakes(KubeSpawner, config) != []
