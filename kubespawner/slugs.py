"""Names that people chose, as names that Kubernetes accepts.

Slugs are stable: claims are found by them, so their text must never change between versions.
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

_HASH_LENGTH = 8
_HASH_DELIMITER = "---"
_NAME_DELIMITER = "--"
# What the delimiter and the hash take of a name's length.
_HASH_COST = len(_HASH_DELIMITER) + _HASH_LENGTH

_OBJECT_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_UNSAFE = re.compile(r"[^a-z0-9]+", re.ASCII)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def is_valid_object_name(s: str) -> bool:
    """Whether ``s`` can name any object: 1 to 63 of ``a-z0-9-``, starting with a letter.

    Valid under RFC 1035 and RFC 1123.
    """
    return _OBJECT_NAME.fullmatch(s) is not None


def is_valid_label(s: str) -> bool:
    """Whether ``s`` can be a label's value; the empty text can.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
    """
    return not s or _LABEL.fullmatch(s) is not None


def is_valid_default(s: str) -> bool:
    """Whether ``s`` is valid wherever a name may end up: as an object's name."""
    return is_valid_object_name(s)


def escape_slug(name: str) -> str:
    """Return ``name`` with every character outside ``a-z0-9`` as ``-`` and hex digits per byte.

    The rule of versions before 7; no limit of length.
    """
    return "".join(
        char if char in _PLAIN else "".join(f"-{byte:02x}" for byte in char.encode())
        for char in name
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_HASH_LENGTH]


def _extract_safe_name(name: str, max_length: int) -> str:
    """Return what of ``name`` is safe, for reading; uniqueness is the hash's task."""
    safe = _UNSAFE.sub("-", name.lower()).lstrip("-")[:max_length].rstrip("-")
    if not safe:
        return "x"
    if not "a" <= safe[0] <= "z":
        safe = "x-" + safe[: max_length - 2]
    return safe


def strip_and_hash(name: str, max_length: int = 32) -> str:
    """Return the safe part of ``name`` followed by its hash.

    Raises:
        ValueError: ``max_length`` is below 12.
    """
    body = max_length - _HASH_COST
    if body < 1:
        raise ValueError(
            f"max_length is {max_length}; it must be at least {_HASH_COST + 1} to hold a hash"
        )
    return f"{_extract_safe_name(name, body)}{_HASH_DELIMITER}{_hash(name.encode())}"


def safe_slug(
    name: str,
    is_valid: Callable[[str], bool] = is_valid_default,
    max_length: int | None = None,
) -> str:
    """Return ``name`` itself if it is valid and short enough, else its safe part and a hash.

    A name with ``--`` is always hashed, since that is what separates user from server.
    """
    fits = max_length is None or len(name) <= max_length
    if _NAME_DELIMITER not in name and fits and is_valid(name):
        return name
    return strip_and_hash(name, max_length=max_length or 32)


def multi_slug(names: Iterable[str], max_length: int = 48) -> str:
    """Return the safe parts of all ``names``, joined by ``--``, followed by one hash of them all.

    Raises:
        ValueError: fewer than 2 characters would be left for each name, or there is no name.
    """
    names = list(names)
    if not names:
        raise ValueError("multi_slug needs at least one name")
    body = (max_length - _HASH_LENGTH - 1) // len(names) - len(_NAME_DELIMITER)
    if body < 2:
        raise ValueError(f"max_length is {max_length}; too short for {len(names)} names")
    parts = _NAME_DELIMITER.join(_extract_safe_name(name, body) for name in names)
    return f"{parts}{_HASH_DELIMITER}{_hash(joined(names))}"


def joined(names: Iterable[str]) -> bytes:
    """Return several names as one input for a hash; 0xFF occurs in no UTF-8 text."""
    return b"\xff".join(name.encode() for name in names)
