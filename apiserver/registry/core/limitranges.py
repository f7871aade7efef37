"""Limit ranges: how much one container, pod or claim of a namespace may ask for."""

from collections.abc import Iterator, Mapping
from typing import Final

from apimachinery import quantity
from apimachinery.fields import FieldError, Path
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import LimitRange, LimitRangeItem
from apiserver.registry.core.quotas_validation import resource_name
from apiserver.registry.core.resources_validation import canonical, validate_quantity
from apiserver.registry.default_columns import DEFAULT_COLUMNS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

_AMOUNTS: Final = ("default", "default_request", "max", "min", "max_limit_request_ratio")
_WIRE: Final = {"default_request": "defaultRequest", "max_limit_request_ratio": "maxLimitRequestRatio"}
_LIMITS: Final = Path("spec", "limits")

Amounts = Mapping[str, Quantity]


class LimitRangeKind(Strategy[LimitRange]):
    allow_create_on_update = True

    def default(self, obj: LimitRange) -> None:
        for item in obj.spec.limits:
            for field in _AMOUNTS:
                canonical(getattr(item, field))
            if item.type == "Container":
                _default(item)

    def validate(self, obj: LimitRange) -> Iterator[FieldError]:
        earlier: set[str] = set()
        for i, item in enumerate(obj.spec.limits):
            path = _LIMITS[i]
            if not item.type:
                yield (path / "type").required()
            elif item.type in earlier:
                yield (path / "type").duplicate(item.type)
            earlier.add(item.type)
            faults = list(_amounts(path, item))
            yield from faults
            if not faults:
                yield from _order(path, item)


def _default(item: LimitRangeItem) -> None:
    """The default limit is the maximum; the default request is the minimum, or else the default limit."""
    limits = {**(item.max or {}), **(item.default or {})}
    requests = {**limits, **(item.min or {}), **(item.default_request or {})}
    item.default, item.default_request = limits or None, requests or None


def _amounts(path: Path, item: LimitRangeItem) -> Iterator[FieldError]:
    for field in _AMOUNTS:
        place = path / _WIRE.get(field, field)
        amounts: Amounts = getattr(item, field) or {}
        if amounts and item.type == "Pod" and field in ("default", "default_request"):
            yield place.forbidden("may not be specified when `type` is 'Pod'")
            continue
        for name, amount in amounts.items():
            yield from resource_name(place.key(name), name)
            yield from validate_quantity(place.key(name), amount)
    if item.type == "PersistentVolumeClaim" and "storage" not in {**(item.min or {}), **(item.max or {})}:
        yield (path / "limits").required(
            "either minimum or maximum storage value is required, but neither was provided"
        )


def _order(path: Path, item: LimitRangeItem) -> Iterator[FieldError]:
    """min <= default request <= default <= max, as far as they are set."""
    low, high, requests, limits = item.min or {}, item.max or {}, item.default_request or {}, item.default or {}
    for name in sorted({*low, *high, *requests, *limits}):
        for field, less, what, more in (
            ("min", low, "max", high),
            ("defaultRequest", low, "default request", requests),
            ("default", low, "default", limits),
            ("defaultRequest", requests, "max", high),
            ("defaultRequest", requests, "default limit", limits),
            ("default", limits, "max", high),
        ):
            if name in less and name in more and quantity.parse(less[name]) > quantity.parse(more[name]):
                whose = "min" if less is low else "default request" if less is requests else "default"
                yield (
                    (path / field)
                    .key(name)
                    .invalid(str(less[name]), f"{whose} value {less[name]} is greater than {what} value {more[name]}")
                )
    for name, ratio in (item.max_limit_request_ratio or {}).items():
        if quantity.parse(ratio) < 1:
            yield (path / "maxLimitRequestRatio").key(name).invalid(str(ratio), f"ratio {ratio} is less than 1")


LIMIT_RANGES = StoredResource(
    LimitRange,
    LimitRangeKind(),
    singular="limitrange",
    short_names=("limits",),
    columns=DEFAULT_COLUMNS,
)
