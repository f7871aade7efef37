"""Ingress classes: which controller serves an ingress."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError
from apimachinery.types.networking_v1 import IngressClass
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC

_LONGEST: Final = 250


class IngressClassKind(Strategy[IngressClass]):
    counts_generations = True

    def default(self, obj: IngressClass) -> None:
        if obj.spec.parameters is not None:
            obj.spec.parameters.scope = obj.spec.parameters.scope or "Cluster"

    def validate(self, obj: IngressClass) -> Iterator[FieldError]:
        controller, parameters = obj.spec.controller or "", obj.spec.parameters
        if not controller:
            yield (SPEC / "controller").required()
        elif len(controller) > _LONGEST:
            yield (SPEC / "controller").too_long(_LONGEST)
        elif "/" not in controller:
            yield (SPEC / "controller").invalid(controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
        if parameters is None:
            return
        path = SPEC / "parameters"
        for field, value in (("kind", parameters.kind), ("name", parameters.name)):
            if not value:
                yield (path / field).required()
            else:
                yield from names.check(path / field, value, names.path_segment)
        yield from field_rules.required(path / "scope", parameters.scope, ("Cluster", "Namespace"))
        if parameters.scope == "Namespace" and not parameters.namespace:
            yield (path / "namespace").required('`parameters.scope` is set to "Namespace"')
        elif parameters.scope == "Cluster" and parameters.namespace:
            yield (path / "namespace").forbidden('`parameters.scope` is set to "Cluster"')

    def validate_update(self, obj: IngressClass, old: IngressClass) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "controller")


def _parameters(obj: IngressClass) -> str:
    reference = obj.spec.parameters
    if reference is None:
        return "<none>"
    group = f".{reference.api_group}" if reference.api_group is not None else ""
    return f"{reference.kind}{group}/{reference.name}"


INGRESS_CLASSES = StoredResource(
    IngressClass,
    IngressClassKind(),
    singular="ingressclass",
    columns=(
        columns.name(),
        Column("Controller", lambda obj: obj.spec.controller or ""),
        Column("Parameters", _parameters),
        columns.age(),
    ),
)
