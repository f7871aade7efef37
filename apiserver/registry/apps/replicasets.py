"""Replica sets: so many pods of one template, chosen by a label selector."""

from collections.abc import Iterator

from apimachinery.fields import FieldError
from apimachinery.types.apps_v1 import ReplicaSet, ReplicaSetStatus
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC, TEMPLATE


class ReplicaSetKind(Strategy[ReplicaSet]):
    counts_generations = True

    def default(self, obj: ReplicaSet) -> None:
        if obj.spec.replicas is None:
            obj.spec.replicas = 1
        default_spec(obj.spec.template.spec)

    def prepare_for_create(self, obj: ReplicaSet) -> None:
        obj.status = ReplicaSetStatus()

    def prepare_for_update(self, obj: ReplicaSet, old: ReplicaSet) -> None:
        obj.status = old.status

    def warnings(self, obj: ReplicaSet) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, TEMPLATE, obj.spec.template)

    def validate(self, obj: ReplicaSet) -> Iterator[FieldError]:
        spec = obj.spec
        yield from not_negative(SPEC / "replicas", spec.replicas)
        yield from not_negative(SPEC / "minReadySeconds", spec.min_ready_seconds)
        yield from workloads.validate_selection(spec.selector, spec.template)
        yield from workloads.validate_lasting("ReplicaSet", spec.template)

    def validate_update(self, obj: ReplicaSet, old: ReplicaSet) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "selector")


_KIND = ReplicaSetKind()

REPLICA_SETS = StoredResource(
    ReplicaSet,
    _KIND,
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        workloads.count("Desired", lambda obj: obj.spec.replicas),
        workloads.count("Current", lambda obj: obj.status.replicas),
        workloads.count("Ready", lambda obj: obj.status.ready_replicas),
        columns.age(),
        workloads.container_columns(workloads.pod_template),
        workloads.selector_column(lambda obj: obj.spec.selector),
    ),
    fields={"status.replicas": lambda obj: str(obj.status.replicas)},
    subresources={
        "status": workloads.status_subresource(_KIND),
        "scale": workloads.scale_subresource(_KIND, lambda obj: field_rules.selector_text(obj.spec.selector)),
    },
)
