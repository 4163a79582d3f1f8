"""Checks of settings: pure functions that return the value, or say what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from kubernetes_asyncio.client.models import V1Lifecycle, V1LifecycleHandler

from .. import naming
from ..diagnosis import DEFAULT_PATIENCE
from ..slugs import is_valid_label

Check = Callable[[Any], Any]

_QUANTITY = re.compile(
    r"\+?(?:\d+(?:\.\d*)?|\.\d+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII
)
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
# The client's models carry no types.
_HANDLER: Any = V1LifecycleHandler
# IsValidUserID of Kubernetes.
_HIGHEST_ID = 2**31 - 1


class Wrong(ValueError):
    """A value can't be used.

    Args:
        expected: what would be right; continues "KubeSpawner.x is 'y'; ".
        where: which part of the setting, appended to its name, such as ``['cpu']``.
        part: the wrong part, where it is not the whole value, in a tuple of one.
    """

    def __init__(self, expected: str, where: str = "", part: tuple[Any] | None = None):
        super().__init__(expected)
        self.expected = expected
        self.where = where
        self.part = part


def _sorted_dict_values(x: Any) -> Any:
    """Return a list as it is, and of a dict the values in the order of their sorted keys."""
    if isinstance(x, dict):
        return [x[key] for key in sorted(x)]
    return x


def nearest(name: Any, names: Iterable[str]) -> str:
    """Return "; did you mean …?" if one of ``names`` is near ``name``, else ''."""
    found = get_close_matches(str(name), sorted(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def all_of(*checks: Check) -> Check:
    """Return a check that does one check after the other."""

    def check(value: Any) -> Any:
        for one in checks:
            value = one(value)
        return value

    return check


# ---- templates -------------------------------------------------------------------------


def templates(value: Any, fields: Collection[str] | None = None, where: str = "") -> Any:
    """Check every template in ``value``: list items and dict values in depth.

    Args:
        fields: names of the fields that there are; default: those of every server.
    """
    if isinstance(value, str):
        try:
            naming.check_template(value, fields)
        except naming.TemplateError as e:
            raise Wrong(str(e), where, (value,)) from e
    elif isinstance(value, list):
        for index, item in enumerate(value):
            templates(item, fields, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            templates(item, fields, f"{where}[{key!r}]")
    return value


def jinja_template(value: str) -> str:
    from jinja2 import Environment, TemplateSyntaxError

    try:
        Environment().parse(value)
    except TemplateSyntaxError as e:
        raise Wrong(f"as a Jinja2 template it has an error in line {e.lineno}: {e.message}") from e
    return value


# ---- numbers ---------------------------------------------------------------------------


def not_negative(value: Any) -> Any:
    if value is not None and value < 0:
        raise Wrong("it must not be negative")
    return value


def positive(value: Any) -> Any:
    if value is not None and value <= 0:
        raise Wrong("it must be above 0")
    return value


def port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise Wrong("a port is from 1 to 65535 (0: the default)")
    return value


def unix_id(value: Any) -> Any:
    if isinstance(value, int) and not 0 <= value <= _HIGHEST_ID:
        raise Wrong(f"a user or group ID is from 0 to {_HIGHEST_ID}")
    return value


def unix_ids(value: Any) -> Any:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, int):
            raise Wrong("a group ID is a whole number", f"[{index}]", (item,))
        try:
            unix_id(item)
        except Wrong as e:
            raise Wrong(e.expected, f"[{index}]", (item,)) from e
    return value


def quantity(value: Any) -> Any:
    """Check an amount of a resource; '' and None stand for none.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    if value is None or value == "":
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return not_negative(value)
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return value
    raise Wrong(
        "a quantity is a number, with or without one of the suffixes Ki Mi Gi Ti Pi Ei "
        "(powers of 1024), k M G T P E (powers of 1000), m (thousandth): '10Gi', '500m', 2"
    )


def quantities(value: Mapping[Any, Any]) -> Any:
    for key, amount in value.items():
        if not isinstance(key, str):
            raise Wrong("the name of a resource is a text", " key", (key,))
        try:
            quantity(amount)
        except Wrong as e:
            raise Wrong(e.expected, f"[{key!r}]", (amount,)) from e
    return value


# The kubelet's names, which operators know from `kubectl`, and what `diagnosis` makes of them.
_PULL_REASONS = ("ImageNotFound", "ImagePullDenied", "RegistryUnreachable", "ImagePullFailed")
_KUBELET_REASONS = {
    "ErrImagePull": _PULL_REASONS,
    "ImagePullBackOff": _PULL_REASONS,
    "FailedMount": ("VolumeMountFailed",),
    "FailedAttachVolume": ("VolumeMountFailed",),
    "FailedScheduling": ("Unschedulable",),
    "ProvisioningFailed": ("ClaimProvisioningFailed",),
}


def patience(value: Mapping[Any, Any]) -> dict[str, Any]:
    """Check a mapping of reasons to seconds; the kubelet's reasons are resolved to our own."""
    known = {*DEFAULT_PATIENCE, *_KUBELET_REASONS}
    resolved: dict[str, Any] = {}
    for reason, seconds in value.items():
        # Pods fail for reasons of their own, such as Evicted; only a near miss is a mistake.
        near = [] if reason in known else get_close_matches(str(reason), known, n=1, cutoff=0.85)
        if not isinstance(reason, str) or near:
            hint = f"did you mean {near[0]!r}?" if near else "it must be a text"
            raise Wrong(hint, " key", (reason,))
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or (seconds < 0 and seconds != -1)
        ):
            raise Wrong(
                "it must be a number of seconds, 0 (end at once) or -1 (never end early)",
                f"[{reason!r}]",
                (seconds,),
            )
        for name in _KUBELET_REASONS.get(reason, ()):
            resolved[name] = seconds
    return {**resolved, **value}


# ---- texts -----------------------------------------------------------------------------


def one_of(*choices: str) -> Check:
    """Return a check for one of ``choices``; '' becomes None."""

    def check(value: Any) -> Any:
        if value and value not in choices:
            near = [choice for choice in choices if choice.lower() == str(value).lower()]
            hint = f"; did you mean {near[0]!r}?" if near else nearest(value, choices)
            raise Wrong(f"it must be one of {', '.join(choices)}{hint}")
        return value or None

    return check


def access_modes(value: list[Any]) -> Any:
    modes = one_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
    for index, mode in enumerate(value):
        try:
            modes(mode or "''")
        except Wrong as e:
            raise Wrong(e.expected, f"[{index}]", (mode,)) from e
    return value


def leftover_kinds(value: list[Any]) -> Any:
    kinds = one_of("pods", "secrets", "services", "claims")
    for index, kind in enumerate(value):
        try:
            kinds(kind or "''")
        except Wrong as e:
            raise Wrong(e.expected, f"[{index}]", (kind,)) from e
    return value


def not_empty(value: str) -> str:
    if not value.strip():
        raise Wrong("it must not be empty")
    return value


def image(value: str) -> str:
    not_empty(value)
    if any(character.isspace() for character in value):
        raise Wrong("the name of an image has no white space")
    return value


def url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise Wrong("it must be a full URL: https://host:port")
    return value


def directory(value: str) -> str:
    """Check an absolute path, and return it with a slash at its end."""
    if not value.startswith("/"):
        raise Wrong("it must be an absolute path, such as '/etc/jupyterhub/ssl/'")
    return value if value.endswith("/") else value + "/"


def label_value(value: str) -> str:
    if not value or not is_valid_label(value):
        raise Wrong(_LABEL_VALUE)
    return value


# ---- labels and annotations ------------------------------------------------------------

_LABEL_VALUE = (
    "a label's value has at most 63 characters, of letters, digits, '-', '_' and '.', "
    "and begins and ends with a letter or digit"
)


def annotation_texts(value: Mapping[Any, Any]) -> Any:
    """Check keys (labels have the same) and that values are texts.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
    """
    for key, text in value.items():
        prefix, slash, name = str(key).rpartition("/")
        if (
            not isinstance(key, str)
            or not _NAME.fullmatch(name)
            or (slash and not _PREFIX.fullmatch(prefix))
        ):
            raise Wrong("a key looks like 'name' or 'example.com/name'", " key", (key,))
        if text is not None and not isinstance(text, str):
            raise Wrong(f"it must be a text: {str(text)!r}", f"[{key!r}]", (text,))
    return value


def labels(value: Mapping[Any, Any]) -> Any:
    """Check labels that are sent as they are."""
    return _labels(value, expanded=False)


def label_templates(value: Mapping[Any, Any]) -> Any:
    """Check labels whose values are expanded; those with a field can't be judged yet."""
    return _labels(value, expanded=True)


def _labels(value: Mapping[Any, Any], *, expanded: bool) -> Any:
    annotation_texts(value)
    for key, text in value.items():
        if text and not (expanded and "{" in text) and not is_valid_label(text):
            raise Wrong(_LABEL_VALUE, f"[{key!r}]", (text,))
    return value


# ---- objects of the Kubernetes API -----------------------------------------------------


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or hasattr(value, "attribute_map")


def fields_of(model: Any, *, required: Collection[str] = ()) -> Check:
    """Return a check for a dict with fields of ``model``, in camelCase or snake_case.

    Args:
        required: fields that must be there, in camelCase.
    """
    names = dict(model.attribute_map)
    kind = model.__name__.removeprefix("V1")

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {names.get(key, key) for key in value}
        for key in value:
            if key not in names and key not in names.values():
                raise Wrong(
                    f"{kind} has no such field{nearest(key, names.values())}", " key", (key,)
                )
        for field in required:
            if field not in given:
                raise Wrong(f"{kind} needs the field {field!r}")
        return value

    return check


def objects_of(model: Any, *, required: Collection[str] = ()) -> Check:
    """Return a check for a list of objects, or a dict of them, of ``model``."""
    check_fields = fields_of(model, required=required)
    kind = model.__name__.removeprefix("V1")

    def check(value: Any) -> Any:
        is_dict = isinstance(value, dict)
        for key, item in value.items() if is_dict else enumerate(value):
            where = f"[{key!r}]"
            if not _is_object(item):
                if is_dict and set(value) & set(model.attribute_map.values()):
                    raise Wrong(f"this is a single {kind}; put it into a list: [{{...}}]")
                raise Wrong(f"it must be a {kind} object: a dict", where, (item,))
            try:
                check_fields(item)
            except Wrong as e:
                raise Wrong(e.expected, where + e.where, e.part or (item,)) from e
        return value

    return check


def lifecycle_hooks(value: Mapping[str, Any]) -> Any:
    """Check handlers: a dict below the top level is sent as it is, so it must be camelCase."""
    fields_of(V1Lifecycle)(value)
    fields = set(_HANDLER.attribute_map.values())
    for name, handler in value.items():
        if not isinstance(handler, dict):
            continue
        for key in handler:
            if key not in fields:
                hint = nearest(key, fields)
                raise Wrong(
                    f"a handler is one of {', '.join(sorted(fields))}{hint}",
                    f"[{name!r}] key",
                    (key,),
                )
    return value


def security_context(value: Any) -> Any:
    for key in value if isinstance(value, dict) else ():
        if "_" in str(key):
            words = str(key).split("_")
            camel = words[0] + "".join(word.title() for word in words[1:])
            raise Wrong(f"keys are camelCase: {camel!r}", " key", (key,))
    return value


def pull_secrets(value: list[Any]) -> Any:
    for index, secret in enumerate(value):
        if isinstance(secret, str) and secret:
            continue
        if isinstance(secret, dict) and secret.get("name"):
            continue
        if not isinstance(secret, dict) and getattr(secret, "name", None):
            continue
        raise Wrong("it must be a name, or {'name': ...}", f"[{index}]", (secret,))
    return value


def environment(value: Mapping[Any, Any]) -> Any:
    """Check names of variables: https://kubernetes.io/docs/tasks/inject-data-application/"""
    for name in value:
        if not isinstance(name, str) or not name or "=" in name:
            raise Wrong("the name of a variable is a text without '='", " key", (name,))
    return value
