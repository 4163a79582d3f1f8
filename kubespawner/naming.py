"""Templates such as ``jupyter-{user_server}``: their fields, and how they are filled in."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any

from .slugs import _hash, escape_slug, joined, multi_slug, safe_slug

# The longest slug of a user, and of user and server together; leaves room for `jupyter-`.
_LIMIT = 48


class TemplateError(Exception):
    """A template can't be filled in."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnknownFieldError(TemplateError, KeyError, ValueError):
    """A template has a field that does not exist."""


class MalformedTemplateError(TemplateError, ValueError, IndexError):
    """A template has a stray brace, a field without a name, or a format that does not fit."""


@dataclass(frozen=True)
class ServerIdentity:
    """One server of one user, as far as names depend on it.

    Args:
        username, servername: as the hub has them; '' is the default server.
        userid: the user's number in the hub's database.
        hub_namespace: namespace of the hub itself.
        slug_scheme: ``safe``, or ``escape`` as before version 7.
    """

    username: str
    servername: str
    userid: object
    hub_namespace: str
    slug_scheme: str = "safe"


class Fields(Mapping[str, object]):
    """The template fields of one server; each is computed when it is first asked for.

    A hub that starts makes one for each of its servers and name; most fields are never asked for.
    """

    def __init__(
        self,
        identity: ServerIdentity,
        *,
        slug_scheme: str | None = None,
        pod_name: str | None = None,
        pvc_name: str | None = None,
        namespace: str | None = None,
    ):
        self._identity = identity
        self._safe = (slug_scheme or identity.slug_scheme) == "safe"
        self._resolved = {"pod_name": pod_name, "pvc_name": pvc_name, "namespace": namespace}

    def __getitem__(self, name: str) -> object:
        if name in TEMPLATE_FIELDS:
            return getattr(self, name)
        before, behind, _ = name.partition(_BEHIND)
        if behind and before in TEMPLATE_FIELDS:
            return self._servername_behind(before)
        raise UnknownFieldError(_unknown(name, TEMPLATE_FIELDS))

    def __iter__(self) -> Iterator[str]:
        return iter(TEMPLATE_FIELDS)

    def __len__(self) -> int:
        return len(TEMPLATE_FIELDS)

    @property
    def userid(self) -> object:
        return self._identity.userid

    @property
    def unescaped_username(self) -> str:
        return self._identity.username

    @property
    def unescaped_servername(self) -> str:
        return self._identity.servername

    @cached_property
    def safe_username(self) -> str:
        return safe_slug(self._identity.username, max_length=_LIMIT)

    @cached_property
    def safe_servername(self) -> str:
        name = self._identity.servername
        return safe_slug(name, max_length=_LIMIT) if name else ""

    @cached_property
    def safe_user_server(self) -> str:
        # The 2 counts for default servers as well; names given out since version 7 depend on it.
        if len(self.safe_username) + len(self.safe_servername) + 2 > _LIMIT:
            return multi_slug([self._identity.username, self._identity.servername], _LIMIT)
        return self._pair(self.safe_username, self.safe_servername)

    @cached_property
    def escaped_username(self) -> str:
        return escape_slug(self._identity.username)

    @cached_property
    def escaped_servername(self) -> str:
        return escape_slug(self._identity.servername)

    @property
    def escaped_user_server(self) -> str:
        return self._pair(self.escaped_username, self.escaped_servername)

    @property
    def legacy_escape_username(self) -> str:
        return re.sub("[^a-z0-9]", "-", self._identity.username.lower())

    @property
    def username(self) -> str:
        return self.safe_username if self._safe else self.escaped_username

    @property
    def servername(self) -> str:
        return self.safe_servername if self._safe else self.escaped_servername

    @property
    def user_server(self) -> str:
        return self.safe_user_server if self._safe else self.escaped_user_server

    def _servername_behind(self, field: str) -> str:
        """Return the server name as it follows directly behind ``field``, with its dash.

        User and server joined by a dash are ambiguous: ``a`` + ``b-c``, ``a-b`` + ``c`` and the
        default server of ``a-b-c``. Such a pair gets a hash of both names. What needs none, and
        so stays readable, is a pair without further dashes; a default server gives way only if
        its user's slug looks like such a pair.
        """
        server = self.servername
        if field not in _USER_FIELDS:
            return f"-{server}" if server else ""
        user = str(self[field])
        if not self._safe and field in ("username", "escaped_username"):
            # An escaped name is plain text and `-` with two digits per byte. A dash in front of a
            # server is mistaken for one of those only if digits of an ASCII byte follow it.
            if not _ASCII_BYTE.match(server):
                return f"-{server}" if server else ""
        elif not server:
            return self._pair_hash() if self._like_pair(field, user) else ""
        elif "-" not in user + server and len(user) + len(server) + 1 <= _LIMIT:
            return f"-{server}"
        else:
            # The hash tells servers apart, so that their names may be cut.
            room = _LIMIT - len(user) - 1 - _PAIR_HASH_LENGTH
            server = server[: max(1, room)].rstrip("-")
        return f"-{server}{self._pair_hash()}"

    def _like_pair(self, field: str, user: str) -> bool:
        if self._safe and field in ("username", "safe_username"):
            # A safe slug never starts with a digit, so that `student-01` is no pair.
            return _PLAIN_PAIR.fullmatch(user) is not None
        return user.count("-") == 1

    def _pair_hash(self) -> str:
        names = [self._identity.username, self._identity.servername]
        return f"---{_hash(joined(names))}"

    @property
    def hubnamespace(self) -> str:
        namespace = self._identity.hub_namespace
        return "user" if namespace == "default" else namespace

    @property
    def pod_name(self) -> str:
        return self._or_unavailable("pod_name")

    @property
    def pvc_name(self) -> str:
        return self._or_unavailable("pvc_name")

    @property
    def namespace(self) -> str:
        return self._or_unavailable("namespace")

    def _or_unavailable(self, name: str) -> str:
        return self._resolved[name] or f"{name}_unavailable!"

    @staticmethod
    def _pair(user: str, server: str) -> str:
        return f"{user}--{server}" if server else user


# `{username}{servername}` is rendered as `{username}{username+servername}`.
_BEHIND = "+servername"
_PAIR_HASH_LENGTH = len("---") + 8
# The hex digits of an ASCII character.
_ASCII_BYTE = re.compile("[0-7][0-9a-f]")
_PLAIN_PAIR = re.compile("[a-z][a-z0-9]*-[a-z][a-z0-9]*")
_USER_FIELDS = frozenset(
    {
        "username",
        "unescaped_username",
        "safe_username",
        "escaped_username",
        "legacy_escape_username",
    }
)
TEMPLATE_FIELDS = frozenset(
    {
        "userid",
        "username",
        "servername",
        "user_server",
        "unescaped_username",
        "unescaped_servername",
        "safe_username",
        "safe_servername",
        "safe_user_server",
        "escaped_username",
        "escaped_servername",
        "escaped_user_server",
        "legacy_escape_username",
        "hubnamespace",
        "pod_name",
        "pvc_name",
        "namespace",
    }
)


def template_fields(
    identity: ServerIdentity,
    *,
    slug_scheme: str | None = None,
    pod_name: str | None = None,
    pvc_name: str | None = None,
    namespace: str | None = None,
) -> Fields:
    """Return the fields that templates of this server may use.

    Args:
        slug_scheme: instead of the identity's own.
        pod_name, pvc_name, namespace: as far as resolved; else `<field>_unavailable!`.
    """
    return Fields(
        identity,
        slug_scheme=slug_scheme,
        pod_name=pod_name,
        pvc_name=pvc_name,
        namespace=namespace,
    )


@lru_cache(maxsize=4096)
def _parsed(template: str) -> tuple[tuple[str, str | None, str, str], ...]:
    """Return literal text, field name, format specification and conversion of each part.

    Raises:
        MalformedTemplateError: a stray brace, or a field without a name.
    """
    try:
        parts = tuple(
            (literal, name, spec or "", conversion or "")
            for literal, name, spec, conversion in string.Formatter().parse(template)
        )
    except ValueError as e:
        raise MalformedTemplateError(
            f"{template!r}: {e}; a brace that is meant literally is written twice"
        ) from e
    for _, name, _, _ in parts:
        if name is not None and (not _root(name) or _root(name).isdigit()):
            raise MalformedTemplateError(
                f"{template!r}: a field without a name; a brace that is meant literally is "
                "written twice"
            )
    return parts


def _root(field: str) -> str:
    """Return the name of a field without what is taken of its value, as in ``name[0]``."""
    return re.split(r"[.\[]", field, maxsplit=1)[0]


@lru_cache(maxsize=4096)
def _prepared(template: str) -> str:
    """Return ``template`` with the rule of adjacent fields applied; parsed once."""
    prepared = ""
    before: str | None = None
    for literal, name, spec, conversion in _parsed(template):
        prepared += escape_braces(literal)
        if name is None:
            before = None
            continue
        if "+" in name:
            raise UnknownFieldError(_unknown(name, TEMPLATE_FIELDS))
        adjacent = name == "servername" and not literal and before is not None
        key = f"{before}{_BEHIND}" if adjacent else name
        prepared += f"{{{key}{conversion and '!' + conversion}{spec and ':' + spec}}}"
        before = _root(name)
    return prepared


def expand(template: str, fields: Mapping[str, object], *, join: bool = True) -> str:
    """Return ``template`` with its fields filled in.

    ``{servername}`` directly behind another field is preceded by a dash, and by what keeps two
    servers apart where the dash alone does not. Dashes at the end are dropped, as the empty name
    of a default server leaves them, unless the template itself ends with one.

    Args:
        fields: as of :func:`template_fields`.
        join: False renders adjacent fields as versions 0.9 to 7.1 did, for finding their objects.

    Raises:
        UnknownFieldError (a KeyError): no such field.
        MalformedTemplateError (a ValueError and IndexError): stray brace, or field without name.
    """
    if "{" not in template and "}" not in template:
        rendered = template
    else:
        _parsed(template)
        try:
            rendered = (_prepared(template) if join else template).format_map(fields)
        except TemplateError as e:
            raise type(e)(f"{e} (in {template!r})") from e
        except (AttributeError, IndexError, TypeError, ValueError) as e:
            raise MalformedTemplateError(f"{template!r}: {e}") from e
    return rendered if template.endswith("-") else rendered.rstrip("-")


def expand_all(src: Any, fields: Mapping[str, object]) -> Any:
    """Expand every string in ``src``: list items and dict values in depth, nothing else."""
    if isinstance(src, str):
        return expand(src, fields)
    if isinstance(src, list):
        return [expand_all(item, fields) for item in src]
    if isinstance(src, dict):
        return {key: expand_all(value, fields) for key, value in src.items()}
    return src


def check_template(template: str, allowed: Collection[str] | None = None) -> None:
    """Say what is wrong with a template, before it is used.

    Args:
        allowed: names of fields; default: :data:`TEMPLATE_FIELDS`. A mapping has a value of each
            for an example, where that is no text.

    Raises:
        UnknownFieldError, MalformedTemplateError: naming the field and the valid ones.
    """
    if allowed is None:
        _check_own_template(template)
        return
    _check_fields(template, allowed)
    samples = allowed if isinstance(allowed, Mapping) else dict.fromkeys(allowed, "x")
    try:
        template.format_map(samples)
    except IndexError:
        # A longer name than the sample may have what is asked for.
        return
    except (AttributeError, TypeError, ValueError) as e:
        raise MalformedTemplateError(f"{template!r}: {e}") from e


@lru_cache(maxsize=4096)
def _check_own_template(template: str) -> None:
    """Check a template that is filled in for servers; once, since each of them asks."""
    check_template(template, {**dict.fromkeys(TEMPLATE_FIELDS, "x"), "userid": 1})


def _check_fields(template: str, names: Container[str]) -> None:
    for _, field, spec, _ in _parsed(template):
        if field is None:
            continue
        if _root(field) not in names:
            raise UnknownFieldError(f"{_unknown(_root(field), names)} (in {template!r})")
        if "{" in spec:
            _check_fields(spec, names)


def escape_braces(text: str) -> str:
    """Return ``text`` so that a later expansion leaves it as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _unknown(name: str, names: Container[str]) -> str:
    known = sorted(names) if isinstance(names, (set, frozenset, list, tuple, dict)) else []
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {{{near[0]}}}?" if near else "."
    valid = f" Valid fields: {', '.join(known)}" if known else ""
    return f"unknown field {{{name}}}{hint}{valid}"
