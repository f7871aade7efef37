"""Quantities as Kubernetes reads, compares and stores them."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import quantity


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0", "0"),
        ("1", "1"),
        (1, "1"),
        (0.5, "500m"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("0.1", "100m"),
        ("1.50", "1500m"),
        ("1Gi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1024", "1024"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("1000k", "1M"),
        ("1e3", "1e3"),
        ("100e1", "1e3"),
        ("1.5e3", "1500"),
        ("12E6", "12e6"),
        ("1E", "1E"),
        ("-5m", "-5m"),
        ("+1", "1"),
        (".5", "500m"),
        ("1.", "1"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("0Gi", "0"),
    ],
)
def test_canonical(text: str | int | float, stored: str) -> None:
    assert quantity.canonical(text) == stored


@pytest.mark.parametrize(
    "text", ["", "x", "1 Gi", "1gi", "1KI", "--1", "1e", "1ee3", "0x1", "1.2.3", "Gi", "1mm", "1\n", "∞", "\u0661"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantity.parse(text)


def test_units_round_up() -> None:
    assert quantity.milli("1") == 1000
    assert quantity.milli("0.0001") == 1
    assert quantity.value("1Gi") == 1 << 30
    assert quantity.value("1m") == 1
    assert quantity.value("1500m") == 2


_NUMBERS = st.decimals(0, 10**9, places=3).map(str) | st.integers(0, 10**12).map(str)
_SUFFIXES = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3"])


@given(_NUMBERS, _SUFFIXES)
def test_the_stored_form_is_stable_and_equal(number: str, suffix: str) -> None:
    stored = quantity.canonical(number + suffix)
    assert quantity.canonical(stored) == stored
    assert quantity.parse(stored) == quantity.parse(number + suffix)


@given(st.integers(0, 10**15))
def test_milli_is_exact(thousandths: int) -> None:
    assert quantity.milli(f"{thousandths}m") == thousandths
    assert quantity.parse(f"{thousandths}m") == Decimal(thousandths) / 1000


@given(st.text(max_size=10))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert quantity.canonical(quantity.canonical(text)) == quantity.canonical(text)
