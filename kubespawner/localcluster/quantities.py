"""Quantities such as ``500m`` and ``2Gi``.

See https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PATTERN = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]?))", re.ASCII
)


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Decimal:
    """Return the value of a quantity.

    Raises:
        ValueError: not a quantity.
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise ValueError(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, exponent, suffix = match.groups()
    if exponent:
        return Decimal(number + exponent)
    if suffix in _BINARY:
        return Decimal(number) * (1024 ** _BINARY[suffix])
    return Decimal(number).scaleb(_DECIMAL[suffix])


@lru_cache(maxsize=4096)
def canonical_quantity(text: str) -> str:
    """Return the one spelling that the API server stores: ``0.5`` is ``500m``, ``1024Mi`` ``1Gi``.

    Raises:
        ValueError: not a quantity.
    """
    match = _PATTERN.fullmatch(text)
    value = parse_quantity(text)
    return format_quantity(value, binary=bool(match and (match.group(3) or "") in _BINARY))


def format_quantity(value: Decimal, *, binary: bool = False) -> str:
    """Return ``value`` with the largest suffix that needs no fraction."""
    if value == 0:
        return "0"
    if binary and abs(value) >= 1024 and value == value.to_integral_value():
        whole, power = int(value), 0
        while whole % 1024 == 0 and power < len(_BINARY):
            whole //= 1024
            power += 1
        return f"{whole}{['', *_BINARY][power]}"
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = value.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    # Finer than a billionth is rounded up, as the real server does.
    return f"{int(value.scaleb(9).to_integral_value(rounding='ROUND_CEILING'))}n"
