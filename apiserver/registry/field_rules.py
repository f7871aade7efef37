"""Rules that fields of many kinds share: label selectors, numbers or percentages, counts, what may not change."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from apimachinery import names, selectors
from apimachinery.core.addresses import special
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import ObjectReference
from apimachinery.types.meta_v1 import LabelSelector

S = TypeVar("S", bound=msgspec.Struct)

_PERCENT: Final = re.compile(r"[0-9]+%\Z", re.ASCII)
_PERCENT_RULE: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_LENGTH: Final = re.compile(r"(0|[1-9][0-9]{0,2})\Z", re.ASCII)
_LISTS: Final = ("In", "NotIn")
_PRESENCE: Final = ("Exists", "DoesNotExist")


def validate_selector(path: Path, selector: LabelSelector | None) -> Iterator[FieldError]:
    """Every fault of a label selector; no selector has none."""
    if selector is None:
        return
    yield from names.validate_labels(path / "matchLabels", selector.match_labels)
    for i, requirement in enumerate(selector.match_expressions or ()):
        place = (path / "matchExpressions")[i]
        if requirement.operator in _LISTS:
            if not requirement.values:
                yield (place / "values").required("must be specified when `operator` is 'In' or 'NotIn'")
        elif requirement.operator in _PRESENCE:
            if requirement.values:
                yield (place / "values").forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield (place / "operator").invalid(requirement.operator, "not a valid selector operator")
        yield from names.check(place / "key", requirement.key, names.qualified_name)
        for j, value in enumerate(requirement.values or ()):
            yield from names.check((place / "values")[j], value, names.label_value)


def is_empty(selector: LabelSelector | None) -> bool:
    """Whether there is no selector, or one that asks for nothing."""
    return selector is None or not (selector.match_labels or selector.match_expressions)


def selects(selector: LabelSelector | None, labels: dict[str, str] | None) -> bool:
    """Whether the labels match; an invalid selector counts as a match, since it is refused anyway."""
    try:
        return selectors.from_label_selector(selector).matches(labels or {})
    except ValueError:
        return True


def selector_text(selector: LabelSelector | None) -> str:
    """A selector in a table or a Scale; empty if it selects nothing or everything."""
    try:
        return str(selectors.from_label_selector(selector))
    except ValueError:
        return "<error>"


def selector_cell(selector: LabelSelector | None) -> str:
    return selector_text(selector) or "<none>"


def not_negative(path: Path, value: int | None) -> Iterator[FieldError]:
    if value is not None and value < 0:
        yield path.invalid(value, "must be greater than or equal to 0")


def positive(path: Path, value: int | None) -> Iterator[FieldError]:
    if value is not None and value <= 0:
        yield path.invalid(value, "must be greater than 0")


def number_or_percent(path: Path, value: int | str | None) -> Iterator[FieldError]:
    """A count, or a percentage."""
    if isinstance(value, str):
        if not _PERCENT.match(value):
            yield path.invalid(value, _PERCENT_RULE)
    else:
        yield from not_negative(path, value)


def at_most_all(path: Path, value: int | str | None) -> Iterator[FieldError]:
    if isinstance(value, str) and _PERCENT.match(value) and int(value[:-1]) > 100:
        yield path.invalid(value, "must not be greater than 100%")


def is_zero(value: int | str | None) -> bool:
    if isinstance(value, str):
        return bool(_PERCENT.match(value)) and int(value[:-1]) == 0
    return not value


def is_address(text: str | None) -> bool:
    """Whether Go would read it, too: an address with a scope (``fe80::1%eth0``) is none."""
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        return False
    return "%" not in (text or "")


def address(path: Path, text: str | None) -> Iterator[FieldError]:
    """An IP address of either family."""
    if not is_address(text):
        yield path.invalid(text or "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def reachable_address(path: Path, text: str | None) -> Iterator[FieldError]:
    """One at which somebody is reached: not that of every machine, or of none in particular."""
    faults = list(address(path, text))
    yield from faults
    if not faults and (fault := special(ipaddress.ip_address(text or ""))):
        yield path.invalid(text, fault)


def cidr(path: Path, text: str) -> Iterator[FieldError]:
    """A range of addresses, whose length is a number: Python would also take none, or a mask."""
    address, _, length = text.partition("/")
    limit = 128 if ":" in address else 32
    if not is_address(address) or not _LENGTH.match(length) or int(length) > limit:
        yield path.invalid(text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")


def port_number(path: Path, port: int) -> Iterator[FieldError]:
    if not 1 <= port <= 65535:
        yield path.invalid(port, "must be between 1 and 65535, inclusive")


def port_reference(path: Path, port: int | str) -> Iterator[FieldError]:
    """A port by its number or by its name."""
    if isinstance(port, int):
        yield from port_number(path, port)
    else:
        yield from names.check(path, port, names.port_name)


def one_of(path: Path, value: str | None, allowed: Sequence[str]) -> Iterator[FieldError]:
    """A word of a fixed set, which may be omitted."""
    if value and value not in allowed:
        yield path.not_supported(value, sorted(allowed))


def required(path: Path, value: str | None, allowed: Sequence[str]) -> Iterator[FieldError]:
    """A word of a fixed set."""
    if not value:
        yield path.required()
    else:
        yield from one_of(path, value, allowed)


def immutable(path: Path, new: S, old: S, *fields: str) -> Iterator[FieldError]:
    """Fields (by their Python names) of two values of one type that an update may not change."""
    for field in fields:
        after = getattr(new, field)
        if after != getattr(old, field):
            yield (path / wire_name(type(new), field)).invalid(after, "field is immutable")


def counts(path: Path, status: msgspec.Struct) -> Iterator[FieldError]:
    """No number in a status is negative."""
    for field in status.__struct_fields__:
        value = getattr(status, field)
        if isinstance(value, int) and value < 0:
            yield (path / wire_name(type(status), field)).invalid(value, "must be greater than or equal to 0")


class _WireNames(dict[type, dict[str, str]]):
    """The names of a type's fields on the wire, by their Python names; built on first use."""

    def __missing__(self, cls: type) -> dict[str, str]:
        names = self[cls] = {field.name: field.encode_name for field in msgspec.structs.fields(cls)}
        return names


_wire_names: Final = _WireNames()


def wire_name(cls: type, field: str) -> str:
    return _wire_names[cls][field]


def set_fields(union: msgspec.Struct, *besides: str) -> list[str]:
    """The wire names of the fields of a union of sources that are set, besides some."""
    return [
        wire_name(type(union), field)
        for field in union.__struct_fields__
        if field not in besides and getattr(union, field) is not None
    ]


def reference_text(reference: ObjectReference | None) -> str:
    """``namespace/name`` of a reference."""
    return f"{reference.namespace or ''}/{reference.name or ''}" if reference is not None else ""
