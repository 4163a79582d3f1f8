"""Writes what the code knows of itself to ``docs/_generated``, for pages to include."""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from helptext import as_markdown
from jupyterhub.spawner import Spawner
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from traitlets import HasTraits, TraitType

from kubespawner import manifests, naming, permissions
from kubespawner.cli.__main__ import main as cli
from kubespawner.config import SpawnerConfig
from kubespawner.config.connection import ConnectionConfig
from kubespawner.diagnosis import DEFAULT_PATIENCE
from kubespawner.legacy import RENAMED
from kubespawner.metrics import FIGURES
from kubespawner.profiles.mistakes import (
    _CHOICE_KEYS,
    _NUMBER_KEYS,
    _OPTION_KEYS,
    _PROFILE_KEYS,
    _UNLISTED_KEYS,
)
from kubespawner.proxy.marks import PROXY_ROUTE
from kubespawner.proxy.settings import GatewayConfig, IngressConfig, ProxyConfig
from kubespawner.slugs import escape_slug, safe_slug

ROOT = Path(__file__).parents[2]

# Section of a proxy -> the mixin with what only that one has.
PROXIES: dict[str, type[HasTraits]] = {
    "KubeIngressProxy": IngressConfig,
    "KubeGatewayProxy": GatewayConfig,
}

_TYPES = {
    "a unicode string": "text",
    "an int": "whole number",
    "a float": "number",
    "a boolean": "True or False",
    "a list": "list",
    "a dict": "dict",
    "a callable": "callable",
}


# ---- settings --------------------------------------------------------------------------


def own_traits(mixin: type[HasTraits]) -> dict[str, TraitType[Any, Any]]:
    """Return the settings that a mixin itself declares, in the order of its source."""
    return {
        name: trait
        for name, trait in vars(mixin).items()
        if isinstance(trait, TraitType) and trait.metadata.get("config")
    }


def subject(mixin: type[HasTraits]) -> str:
    """Return the subject of a mixin: the name of its module."""
    return mixin.__module__.rpartition(".")[2]


def kind_of(trait: Any) -> str:
    """Return which values a setting takes, in words."""
    if trait.__class__.__name__ == "Memory":
        text = "number of bytes, or text with suffix K, M, G or T"
    elif hasattr(trait, "values"):
        text = "one of " + ", ".join(f"`{value!r}`" for value in trait.values)
    else:
        text = trait.info().removesuffix(" or None")
        for technical, plain in _TYPES.items():
            text = text.replace(technical, plain)
    return f"{text}, or None" if trait.allow_none else text


def default_of(cls: type[HasTraits], name: str) -> str:
    """Return the default of a setting as code; in words where it depends on where the hub runs."""
    if any(name in vars(base).get("_trait_default_generators", {}) for base in cls.__mro__):
        return "depends, see below"
    return f"`{getattr(cls(), name)!r}`"


def old_names(name: str) -> list[tuple[str, str]]:
    """Return the earlier names of a setting, each with the version that renamed it."""
    return [(old, since) for old, (new, since) in RENAMED.items() if new == name]


def described(cls: type[HasTraits], section: str, mixin: type[HasTraits]) -> str:
    """Return the settings of ``mixin``, with all that is known of each."""
    names = cls.class_trait_names(config=True)
    return "\n\n".join(
        _setting(cls, section, name, trait, names) for name, trait in own_traits(mixin).items()
    )


def _setting(cls: Any, section: str, name: str, trait: Any, names: Iterable[str]) -> str:
    lines = [
        f"````{{setting}} {section}.{name}\n",
        f":Values: {kind_of(trait)}",
        f":Default: {default_of(cls, name)}",
    ]
    if section == "KubeSpawner":
        earlier = [f"`{old}` (until {since})" for old, since in old_names(name)]
        if earlier:
            lines.append(f":Earlier names: {', '.join(earlier)}")
    lines += ["", as_markdown(trait.help, section, frozenset(names), name), "````"]
    return "\n".join(lines)


def settings_index() -> str:
    """Return a table of every setting: name, subject, default, and what it is for."""
    rows = [
        (name, mixin, trait)
        for mixin in SpawnerConfig.__bases__
        for name, trait in own_traits(mixin).items()
    ]
    return table(
        ("Setting", "Subject", "In short"),
        (
            (
                f"{{setting}}`{name} <KubeSpawner.{name}>`",
                f"[{subject(mixin)}](../configuration/{subject(mixin)}.md)",
                first_sentence(trait.help),
            )
            for name, mixin, trait in sorted(rows, key=lambda row: row[0])
        ),
    )


def jupyterhub_settings() -> str:
    """Return a table of the settings that come from JupyterHub's own Spawner."""
    own = SpawnerConfig.class_trait_names(config=True)
    return table(
        ("Setting", "In short"),
        (
            (f"`KubeSpawner.{name}`", first_sentence(trait.help))
            for name, trait in sorted(Spawner.class_traits(config=True).items())
            if name not in own
        ),
    )


def aliases() -> str:
    """Return the table of names of earlier versions."""
    return table(
        ("Earlier name", "Name today", "Renamed in"),
        (
            (f"`{old}`", f"{{setting}}`{new} <KubeSpawner.{new}>`", since)
            for old, (new, since) in sorted(RENAMED.items())
        ),
    )


# ---- names -----------------------------------------------------------------------------

_SAMPLES = (
    ("user `ada`", "ada", ""),
    ("user `ada`, server `lab`", "ada", "lab"),
    ("user `Ada.L@x.org`, server `lab`", "Ada.L@x.org", "lab"),
)
_NAMES = ("ada", "ada-l", "Ada", "ada@example.org", "under_score", "9lives", "ünal", "日本")


def template_fields() -> str:
    """Return a table of the fields of templates, with what they become for some servers."""
    samples = [
        naming.template_fields(
            naming.ServerIdentity(user, server, 7, "jupyterhub"),
            pod_name=f"jupyter-{user}",
            pvc_name=f"claim-{user}",
            namespace="jupyterhub",
        )
        for _, user, server in _SAMPLES
    ]
    first = ("username", "servername", "user_server")
    own = ("pod_name", "pvc_name", "namespace", "legacy_escape_username")
    fields = [
        *first,
        *sorted(naming.TEMPLATE_FIELDS - set(first) - set(own)),
    ]
    rows = [
        [f"`{{{name}}}`", *(f"`{each[name]}`" if each[name] else "(empty)" for each in samples)]
        for name in fields
    ]
    rows += [
        [f"`{{{name}}}`", words, "", ""]
        for name, words in (
            ("pod_name", "the pod's name, once it is known"),
            ("pvc_name", "the claim's name, once it is known"),
            ("namespace", "the namespace, once it is known"),
        )
    ]
    return table(("Field", *(head for head, _, _ in _SAMPLES)), rows)


def slug_table() -> str:
    """Return a table of names under both schemes."""
    return table(
        ("Name", "scheme `safe`", "scheme `escape`"),
        ((f"`{name}`", f"`{safe_slug(name)}`", f"`{escape_slug(name)}`") for name in _NAMES),
    )


def marks() -> str:
    """Return a table of the labels and annotations by which objects are told apart."""
    return table(
        ("Name", "What it says", "On"),
        (
            ("label `component`", "the value of `component_label`", "pods, claims, routes"),
            (f"annotation `{manifests.HUB}`", "which hub made it: namespace/component", "all"),
            (f"annotation `{manifests.USERNAME}`", "the user, as the hub has the name", "all"),
            (f"annotation `{manifests.SERVERNAME}`", "the server's name, if it has one", "all"),
            (f"annotation `{manifests.SPAWN_ID}`", "which start made it", "pods"),
            (f"label `{PROXY_ROUTE}`", "it is a part of a route", "routes' objects"),
        ),
    )


# ---- profiles --------------------------------------------------------------------------

_PROFILE_PARTS = {
    "profile": _PROFILE_KEYS,
    "option": _OPTION_KEYS,
    "choice": _CHOICE_KEYS,
    "`unlisted_choice`": _UNLISTED_KEYS,
    "`number`": _NUMBER_KEYS,
}
_KEY_MEANINGS = {
    "display_name": "heading or label; HTML in profiles",
    "description": "text below it; HTML in profiles",
    "slug": "identifier in form and API; made from `display_name` if missing",
    "default": "what is preselected, and used where nothing is chosen",
    "kubespawner_override": "settings and their values",
    "profile_options": "further choices: key to option",
    "choices": "key to choice",
    "unlisted_choice": "free text",
    "number": "a number with limits",
    "show_if": "the option counts only if another one has such a value",
    "allowed_groups": "names of groups, of which the user must be in one",
    "allowed": "a bool, or a callable that gets the spawner",
    "enabled": "whether free text is offered",
    "display_name_in_choices": "its entry in the list of choices",
    "validation_regex": "what the whole text has to match",
    "validation_message": "what is said if it does not",
    "min": "least value",
    "max": "greatest value",
    "step": "distance of the values that are possible",
    "unit": "shown behind the field",
}


def profile_keys() -> str:
    """Return a table of the keys of profiles, and where each belongs.

    Raises:
        ExtensionError: a key is not explained here, or is none any more.
    """
    known = set().union(*_PROFILE_PARTS.values())
    if known != set(_KEY_MEANINGS):
        raise ExtensionError(f"explain the keys {sorted(known ^ set(_KEY_MEANINGS))} of profiles")
    return table(
        ("Key", "Of", "Meaning"),
        (
            (
                f"`{key}`",
                ", ".join(part for part, keys in _PROFILE_PARTS.items() if key in keys),
                meaning,
            )
            for key, meaning in _KEY_MEANINGS.items()
        ),
    )


# ---- running ---------------------------------------------------------------------------


def patience() -> str:
    """Return a table of the conditions that can keep a server from starting."""

    def words(seconds: float) -> str:
        if seconds < 0:
            return "until `start_timeout`"
        return f"{seconds:g} seconds" if seconds else "not at all"

    return table(
        ("Condition", "It may last"),
        ((f"`{reason}`", words(seconds)) for reason, seconds in DEFAULT_PATIENCE.items()),
    )


def permissions_by_feature() -> str:
    """Return what the hub has to be allowed to do, a table for each setting that asks for it."""
    parts = []
    for key, feature in permissions.FEATURES.items():
        rows = (
            (
                f"`{need.verb}`",
                f"`{need.resource}`" + (f" ({need.group})" if need.group else ""),
                need.why,
                need.without or "the step fails",
            )
            for need in permissions.NEEDS
            if need.feature == key
        )
        label = (feature.label[0].upper() + feature.label[1:]).replace("`", "")
        heads = ("Verb", "Resource", "What for", "Without it")
        parts.append(f"## {label}\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def metrics() -> str:
    """Return a table of the metrics."""
    return table(
        ("Metric", "Kind", "Labels", "Meaning"),
        (
            (
                f"`{figure.name}{'_total' if figure.kind == 'counter' else ''}`",
                figure.kind,
                ", ".join(f"`{label}`" for label in figure.labels) or "none",
                figure.help,
            )
            for figure in FIGURES
        ),
    )


def commands() -> str:
    """Return the help of every command."""
    parts = []
    for name, command in sorted(cli.commands.items()):
        context = click.Context(command, info_name=f"python -m kubespawner.cli {name}")
        context.max_content_width = 90
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)


# ---- modules ---------------------------------------------------------------------------


def modules() -> str:
    """Return a table of the package's modules, each with the first line of its docstring."""
    package = ROOT / "kubespawner"
    return table(
        ("Module", "What it holds"),
        (
            (f"`{path.relative_to(package)}`", first_sentence(_docstring(path)))
            for path in sorted(package.rglob("*.py"), key=lambda p: (len(p.parts), p))
            if _docstring(path)
        ),
    )


def contracts() -> str:
    """Return the names of import-linter's contracts as a list."""
    # Read by hand: Python 3.10 has no parser for this format.
    project = (ROOT / "pyproject.toml").read_text()
    names = re.findall(r'^\[\[tool\.importlinter\.contracts\]\]\nname = "(.+)"', project, re.M)
    return "\n".join(f"- {name}" for name in names)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


# ---- Markdown --------------------------------------------------------------------------


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring or help text, on one line."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split()).removesuffix("::")
    before, stop, _ = paragraph.partition(". ")
    sentence = before + "." if stop else paragraph
    # Roles of reStructuredText: the name is enough.
    sentence = re.sub(r":\w+:`[~.]*([^`]+)`", r"`\1`", sentence)
    return sentence.replace("``", "`").replace("|", "\\|")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of everything that is generated."""
    for mixin in SpawnerConfig.__bases__:
        yield f"settings-{subject(mixin)}.md", described(SpawnerConfig, "KubeSpawner", mixin)
    yield "settings-index.md", settings_index()
    yield "settings-jupyterhub.md", jupyterhub_settings()
    yield "aliases.md", aliases()
    yield "modules.md", modules()
    yield "contracts.md", contracts()
    yield "template-fields.md", template_fields()
    yield "slugs.md", slug_table()
    yield "marks.md", marks()
    yield "profile-keys.md", profile_keys()
    yield "patience.md", patience()
    yield "permissions.md", permissions_by_feature()
    yield "metrics.md", metrics()
    yield "commands.md", commands()
    yield from proxies()


def proxies() -> Iterator[tuple[str, str]]:
    """Yield the settings of the proxy classes; those that they share are described at each."""
    for section, own in PROXIES.items():
        settings = type(section, (own, ProxyConfig), {})
        yield (
            f"settings-{section}.md",
            "\n\n".join(
                described(settings, section, mixin)
                for mixin in (own, ProxyConfig, ConnectionConfig)
            ),
        )


def all_names() -> frozenset[str]:
    """Return every setting's full name."""
    names = {f"KubeSpawner.{name}" for m in SpawnerConfig.__bases__ for name in own_traits(m)}
    for section, own in PROXIES.items():
        for mixin in (own, ProxyConfig, ConnectionConfig):
            names |= {f"{section}.{name}" for name in own_traits(mixin)}
    return frozenset(names)


def write(directory: Path) -> None:
    """Write all pages; those that have not changed keep their time, so that Sphinx can skip them.

    Raises:
        ExtensionError: a part of what is to be documented has nothing to say of itself.
    """
    directory.mkdir(exist_ok=True)
    for name, text in pages():
        if not text.strip():
            raise ExtensionError(f"Nothing was generated for {name}")
        path = directory / name
        if not path.exists() or path.read_text() != text + "\n":
            # In one piece: another build may be reading it.
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_text(text + "\n")
            fresh.replace(path)


def _generate(app: Sphinx, config: Any) -> None:
    config.settings_names = all_names()
    write(Path(app.srcdir) / "_generated")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", _generate)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
