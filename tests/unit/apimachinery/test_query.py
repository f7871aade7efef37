"""How parameters of a query are read."""

import pytest

from apimachinery.query import boolean


@pytest.mark.parametrize("value", ["", "1", "true", "True", "TRUE", "t", "yes", "no", "2", "off"])
def test_everything_else_is_true(value: str) -> None:
    assert boolean(value)


@pytest.mark.parametrize("value", [None, "0", "false", "False", "FALSE", "fAlSe"])
def test_absent_zero_and_any_false_are_false(value: str | None) -> None:
    assert not boolean(value)
