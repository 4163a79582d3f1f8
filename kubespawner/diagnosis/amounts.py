"""Sizes, times and numbers as people write them. Pure."""

from __future__ import annotations

_DECIMAL = ("bytes", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def readable_bytes(size: float, *, binary: bool = False) -> str:
    """Return ``1.2 GB``, or with ``binary`` (as memory is counted) ``1.1 GiB``."""
    step, units = (1024, _BINARY) if binary else (1000, _DECIMAL)
    unit = 0
    while size >= step and unit < len(units) - 1:
        size, unit = size / step, unit + 1
    number = f"{size:.1f}" if unit and size < 10 else f"{size:.0f}"
    return f"{number.removesuffix('.0')} {units[unit]}"


def readable_memory(quantity: object) -> str:
    """Return a quantity of memory: a plain number of bytes in words, others as they are.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    text = str(quantity)
    return readable_bytes(int(text), binary=True) if text.isdecimal() else text


def readable_seconds(seconds: float) -> str:
    """Return ``40 seconds`` or ``2 minutes``, rounded."""
    if seconds < 90:
        return _counted(max(round(seconds), 1), "second")
    return _counted(round(seconds / 60), "minute")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
