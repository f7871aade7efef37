"""A row of the resource table by its name, and what it makes of an object that a client sends."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from typing import Any

from apimachinery import codec
from apimachinery.fields import FieldError
from apiserver import authorization
from apiserver.authentication.authenticators import Union
from apiserver.registry import metadata
from apiserver.registry.builtin import builtin, reviewing
from apiserver.registry.core.componentstatuses import component_statuses
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.resources import Resources
from tests.kinds import KINDS, kind

Faults = set[tuple[str, str]]

ROWS = [
    *builtin(Resources(), IPv4Network("10.0.0.0/24"), range(30000, 32768)),
    *reviewing(Union([]), authorization.Union([authorization.AlwaysAllow()])),
    component_statuses({}),
]


def row(plural: str, version: str = "") -> ResourceInfo[Any]:
    """The row that the sample of this name is of; other resources are told by their plural alone."""
    for sample in KINDS:
        if sample.plural == plural and version in ("", sample.version):
            place = (sample.group, sample.version, plural)
            return next(
                info for info in ROWS if (info.resource.group, info.resource.version, info.resource.plural) == place
            )
    return next(info for info in ROWS if info.resource.plural == plural)


def read(plural: str, document: dict[str, Any], version: str = "") -> Any:
    return codec.from_builtins(document, row(plural, version).type)


def prepared(plural: str, version: str = "", **body: Any) -> Any:
    """The object of a kind with this body (none: the smallest), as far as it comes before it is validated."""
    sample = kind(plural, version)
    return made(plural, version, **{"metadata": {"name": sample.name}, **(body or sample.body)})


def made(plural: str, version: str = "", **document: Any) -> Any:
    """The new object of any kind, as far as it comes before it is validated."""
    info = row(plural, version)
    obj = read(plural, {"metadata": {"name": "a"}, **document}, version)
    metadata.fill_for_create(obj.metadata, "default" if info.resource.namespaced else "")
    info.strategy.default(obj)
    info.strategy.prepare_for_create(obj)
    return obj


def defaulted(plural: str, version: str = "", **body: Any) -> dict[str, Any]:
    """What would be stored of it."""
    stored: dict[str, Any] = codec.to_builtins(prepared(plural, version, **body))
    return stored


def faults(plural: str, version: str = "", **body: Any) -> set[tuple[str, str]]:
    """Field and reason of all that is wrong with it."""
    info, obj = row(plural, version), prepared(plural, version, **body)
    faults_of_it = list(metadata.validate(obj, namespaced=info.resource.namespaced, name_rule=info.strategy.name_rule))
    faults_of_it += info.strategy.validate(obj)
    return {(fault.field, fault.reason.removeprefix("FieldValue")) for fault in faults_of_it}


def faults_of(plural: str, **document: Any) -> Faults:
    """Field and reason of all that is wrong with a new object of any kind."""
    info, obj = row(plural), made(plural, **document)
    of_metadata = list(metadata.validate(obj, namespaced=info.resource.namespaced, name_rule=info.strategy.name_rule))
    return named([*of_metadata, *info.strategy.validate(obj), *info.strategy.validate_create(obj)])


def named(faults: Iterable[FieldError]) -> Faults:
    return {(fault.field, fault.reason.removeprefix("FieldValue")) for fault in faults}


def update_faults(plural: str, change: Callable[[Any], None], version: str = "", **body: Any) -> set[tuple[str, str]]:
    """Field and reason of all that is wrong with a change of it."""
    info, old = row(plural, version), prepared(plural, version, **body)
    new = codec.copy(old)
    change(new)
    info.strategy.default(new)
    info.strategy.prepare_for_update(new, old)
    faults_of_it = [*info.strategy.validate(new), *info.strategy.validate_update(new, old)]
    return {(fault.field, fault.reason.removeprefix("FieldValue")) for fault in faults_of_it}


def cells(plural: str, obj: Any, version: str = "") -> dict[str, Any]:
    """The table's row, by column."""
    return {column.name: column.cell(obj) for column in row(plural, version).columns}


def overlaid(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A document with another laid over it, key by key; None takes a key away."""
    merged = dict(document)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = overlaid(merged[key], value)
        else:
            merged[key] = value
    return merged


def body(plural: str, version: str = "", **change: Any) -> dict[str, Any]:
    """The smallest object's body with ``change`` laid over it."""
    return overlaid(kind(plural, version).body, change)
