from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespawner.localcluster.quantities import canonical_quantity, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("500m", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("1.5Gi", Decimal(3 * 512 * 1024**2)),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("100n", Decimal("1e-7")),
        ("-1Ki", -1024),
    ],
)
def test_values(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "one", "1GB", "1 Gi", "Gi", "1gi", "1.2.3", "0x10", "１"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1G", "1G"),
        ("0", "0"),
        ("0Gi", "0"),
        ("0.1", "100m"),
        ("1e3", "1k"),
    ],
)
def test_canonical_spelling(text, stored):
    assert canonical_quantity(text) == stored


@given(st.integers(0, 10**18), st.booleans())
def test_the_canonical_spelling_has_the_same_value(number, binary):
    assert parse_quantity(format_quantity(Decimal(number), binary=binary)) == number
