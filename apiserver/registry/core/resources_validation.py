"""Amounts of resources: quantities, their names, and limits against requests."""

from collections.abc import Iterator, Mapping

from apimachinery import names, quantity
from apimachinery.core.pod_resources import is_extended, is_native
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apimachinery.types.base import Quantity
from apiserver.registry.core.quotas_validation import resource_name

COMPUTE = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = "hugepages-"


def validate_requirements(path: Path, resources: v1.ResourceRequirements) -> Iterator[FieldError]:
    """What a container asks for, and how much it may use."""
    limits, requests = resources.limits or {}, resources.requests or {}
    yield from _container_amounts(path / "limits", limits)
    yield from _container_amounts(path / "requests", requests)
    for name, amount in requests.items():
        if name in limits:
            yield from _against_limit(path / "requests", name, amount, limits[name])
        elif not may_be_overcommitted(name):
            yield (path / "limits").required("Limit must be set for non overcommitable resources")
    asked = {*limits, *requests}
    if any(map(_is_huge_pages, asked)) and not asked & {"cpu", "memory"}:
        yield path.forbidden("HugePages require cpu or memory")


def may_be_overcommitted(name: str) -> bool:
    return is_native(name) and not _is_huge_pages(name)


def _is_huge_pages(name: str) -> bool:
    return name.startswith(_HUGE_PAGES)


def _container_amounts(path: Path, amounts: Mapping[str, Quantity]) -> Iterator[FieldError]:
    for name, amount in amounts.items():
        place = path.key(name)
        if name not in COMPUTE:
            faults = list(resource_name(place, name))
            if not faults and "/" not in name and not _is_huge_pages(name):
                faults = [place.invalid(name, "must be a standard resource for containers")]
            elif not faults and not is_native(name) and not is_extended(name):
                faults = [place.invalid(name, "doesn't follow extended resource name standard")]
            yield from faults
        yield from _amount(place, name, amount)


def _against_limit(path: Path, name: str, amount: Quantity, limit: Quantity) -> Iterator[FieldError]:
    try:
        asked, allowed = quantity.parse(amount), quantity.parse(limit)
    except ValueError:  # named elsewhere
        return
    if asked != allowed and not may_be_overcommitted(name):
        yield path.invalid(str(amount), f"must be equal to {name} limit of {limit}")
    elif asked > allowed:
        yield path.invalid(str(amount), f"must be less than or equal to {name} limit of {limit}")


def validate_amounts(path: Path, amounts: Mapping[str, Quantity] | None) -> Iterator[FieldError]:
    for name, amount in (amounts or {}).items():
        yield from names.check(path, name, names.qualified_name)
        yield from _amount(path.key(name), name, amount)


def _amount(path: Path, name: str, amount: Quantity) -> Iterator[FieldError]:
    """An amount of a resource, of which some are only given away in whole units."""
    faults = list(validate_quantity(path, amount))
    yield from faults
    if faults or name in COMPUTE:
        return
    number = quantity.parse(amount)
    if is_extended(name) and number != number.to_integral_value():
        yield path.invalid(str(amount), "must be an integer")
    if _is_huge_pages(name):
        size = name.removeprefix(_HUGE_PAGES)
        if list(validate_quantity(path, size)) or quantity.parse(size) <= 0:
            yield path.invalid(name, "the name must end in the size of a page, such as hugepages-2Mi")
        elif number % quantity.parse(size):
            yield path.invalid(str(amount), f"must be a multiple of the page size {size}")


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
