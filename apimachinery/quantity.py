"""Quantities: ``100m``, ``1Gi``, ``1.5``, ``12e6``, and the canonical form in which they are stored.

The canonical form is Kubernetes' (``resource.Quantity``): the suffix family is kept, no digits are lost,
the number before the suffix is the smallest integer that needs no fraction.
"""

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Final

_SYNTAX: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3}|)\Z",
    re.ASCII,
)
_BINARY: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_SMALLEST: Final = Decimal("1e-9")
_LARGEST: Final = Decimal(2**63 - 1)


def _split(text: str) -> tuple[Decimal, str, str]:
    match = _SYNTAX.match(text)
    if match is None:
        raise ValueError(
            f"{text!r}: a quantity is a number with an optional suffix "
            "(n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent such as e3)"
        )
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix in _BINARY:
        return number * _BINARY[suffix], "binary", suffix
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix]), "decimal", suffix
    return number.scaleb(int(suffix[1:])), "exponent", suffix


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Decimal, str]:
    value, family, _ = _split(text)
    magnitude = min(abs(value), _LARGEST)
    rounded = magnitude.quantize(_SMALLEST, rounding=ROUND_CEILING)  # finer than a nano is rounded up, as in Go
    return (rounded if value >= 0 else -rounded), family


def parse(quantity: str | int | float) -> Decimal:
    """The exact number.

    Raises:
        ValueError: not a quantity; the message says what one looks like.
    """
    return _parse(str(quantity))[0]


def milli(quantity: str | int | float) -> int:
    """Thousandths, rounded up: the unit of CPU."""
    return int((parse(quantity) * 1000).to_integral_value(ROUND_CEILING))


def value(quantity: str | int | float) -> int:
    """Whole units, rounded up: bytes of memory, counts."""
    return int(parse(quantity).to_integral_value(ROUND_CEILING))


def canonical(quantity: str | int | float) -> str:
    """The canonical form of a quantity, as it is stored.

    Raises:
        ValueError: not a quantity.
    """
    return _format(*_parse(str(quantity)))


@dataclass(frozen=True, slots=True, order=True)
class Amount:
    """A quantity to calculate with, exactly. Amounts compare by their number; a sum is written in the suffix family of its
    first term that is not zero, as in Kubernetes."""

    number: Decimal
    family: str = field(default="decimal", compare=False)

    @classmethod
    def of(cls, quantity: str | int | float) -> "Amount":
        """Raises ValueError if it is no quantity."""
        return cls(*_parse(str(quantity)))

    def plus(self, other: "Amount") -> "Amount":
        return Amount(self.number + other.number, self.family if self.number else other.family)

    def minus(self, other: "Amount") -> "Amount":
        return Amount(self.number - other.number, self.family if self.number else other.family)

    def rounded_up(self) -> "Amount":
        """In whole units."""
        return Amount(self.number.to_integral_value(ROUND_CEILING), self.family)

    def __str__(self) -> str:
        return _format(self.number, self.family)


def _format(number: Decimal, family: str) -> str:
    if family == "binary" and (text := _binary(number)) is not None:
        return text
    exponent = _exponent(number)
    mantissa = int(number.scaleb(-exponent))
    if family == "exponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_SUFFIX[exponent]}"


def _binary(number: Decimal) -> str | None:
    """The number with a binary suffix; None for fractions and for numbers below 1,024, which are written in decimal."""
    if number != number.to_integral_value() or (abs(number) < 1024 and number != 0):
        return None
    whole, suffix = int(number), ""
    for unit in _BINARY:
        if whole == 0 or whole % 1024:
            break
        whole, suffix = whole // 1024, unit
    return f"{whole}{suffix}"


def _exponent(number: Decimal) -> int:
    """The exponent of the largest power of 1,000 that leaves an integer mantissa, between -9 and 18."""
    if number == 0:
        return 0
    exponent = 18
    while exponent > -9 and number.scaleb(-exponent) != number.scaleb(-exponent).to_integral_value():
        exponent -= 3
    return exponent
