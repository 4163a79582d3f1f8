"""Numbers that a user may enter, within the administrator's limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import Any

# As browsers send the value of a number field. The length bounds all arithmetic.
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite int or float; booleans are none."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or value - value == 0)
    )


def exact(value: Any) -> Decimal | None:
    """Return the decimal number that ``value``, a number or its text, shows; None if none."""
    if is_number(value):
        # The text of a float is what its writer meant: 0.1, not 0.1000000000000000055.
        value = format(Decimal(repr(value)), "f") if isinstance(value, float) else _digits(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    try:
        return Decimal(value)
    except DecimalException:
        return None


def _digits(value: int) -> str:
    # Far beyond any limit; Python refuses to write down integers of thousands of digits.
    return str(value) if abs(value) < 10**18 else ""


def shown(value: Decimal) -> str:
    """Return a number as people write it: ``2``, ``0.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain(value: Decimal) -> int | float:
    """Return an int where the number is whole, else a float."""
    return int(value) if value == value.to_integral_value() else float(value)


def limits(number: Mapping[str, Any]) -> tuple[Decimal, Decimal, Decimal | None]:
    """Return least, greatest and step of a (checked) ``number``; step is None if any will do."""
    low, high, step = (exact(number.get(key)) for key in ("min", "max", "step"))
    if high is None:
        raise ValueError("a number needs 'max'")
    return Decimal(0) if low is None else low, high, step


def described(number: Mapping[str, Any]) -> str:
    """Return the limits in words: ``from 1 to 8, in steps of 0.5``."""
    low, high, step = limits(number)
    words = f"from {shown(low)} to {shown(high)}"
    return words if step is None else f"{words}, in steps of {shown(step)}"


def within(value: Decimal, number: Mapping[str, Any]) -> bool:
    """Whether ``value`` keeps the limits, and is a whole number of steps above the least."""
    low, high, step = limits(number)
    return low <= value <= high and (step is None or (value - low) % step == 0)
