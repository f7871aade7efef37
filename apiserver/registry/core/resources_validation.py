"""Amounts of resources: quantities, their names, and limits against requests."""

from collections.abc import Iterator, Mapping

from apimachinery import names, quantity
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apimachinery.types.base import Quantity


def validate_requirements(path: Path, resources: v1.ResourceRequirements) -> Iterator[FieldError]:
    limits, requests = resources.limits or {}, resources.requests or {}
    yield from validate_amounts(path / "limits", limits)
    yield from validate_amounts(path / "requests", requests)
    for name, amount in requests.items():
        if name not in limits:
            continue
        try:
            exceeds = quantity.parse(amount) > quantity.parse(limits[name])
        except ValueError:  # named above
            continue
        if exceeds:
            yield (path / "requests").invalid(
                str(amount), f"must be less than or equal to {name} limit of {limits[name]}"
            )


def validate_amounts(path: Path, amounts: Mapping[str, Quantity] | None) -> Iterator[FieldError]:
    for name, amount in (amounts or {}).items():
        yield from names.check(path, name, names.qualified_name)
        yield from validate_quantity(path.key(name), amount)


def validate_quantity(path: Path, amount: Quantity) -> Iterator[FieldError]:
    try:
        number = quantity.parse(amount)
    except ValueError as fault:
        yield path.invalid(amount, str(fault))
        return
    if number < 0:
        yield path.invalid(str(amount), "must be greater than or equal to 0")


def canonical(amounts: dict[str, Quantity] | None) -> None:
    """Write amounts in their canonical form; invalid ones are left to validation."""
    for name, amount in (amounts or {}).items():
        amounts[name] = canonical_amount(amount)  # type: ignore[index]


def canonical_amount(amount: Quantity) -> Quantity:
    """One amount in its canonical form."""
    try:
        return quantity.canonical(amount)
    except ValueError:
        return amount
