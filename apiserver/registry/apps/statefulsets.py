"""Stateful sets: pods with names and volumes that last."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec, names
from apimachinery.fields import FieldError
from apimachinery.types.apps_v1 import (
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec,
    StatefulSetStatus,
)
from apimachinery.types.core_v1 import PodTemplateSpec, Volume
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.core.persistentvolumeclaims import default_claim
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import HISTORY_LIMIT, SPEC, TEMPLATE

_POLICIES: Final = ("OrderedReady", "Parallel")
_RETENTION: Final = ("Delete", "Retain")
_MAY_CHANGE: Final = (
    "replicas", "ordinals", "template", "update_strategy", "revision_history_limit",
    "persistent_volume_claim_retention_policy", "min_ready_seconds",
)  # fmt: skip


class StatefulSetKind(Strategy[StatefulSet]):
    name_rule = staticmethod(names.dns_label)  # it becomes the pods' host name
    counts_generations = True

    def default(self, obj: StatefulSet) -> None:
        spec = obj.spec
        spec.pod_management_policy = spec.pod_management_policy or "OrderedReady"
        update = spec.update_strategy
        if not update.type:
            update.type = "RollingUpdate"
            update.rolling_update = update.rolling_update or RollingUpdateStatefulSetStrategy()
        if update.type == "RollingUpdate" and update.rolling_update and update.rolling_update.partition is None:
            update.rolling_update.partition = 0
        retention = spec.persistent_volume_claim_retention_policy or StatefulSetPersistentVolumeClaimRetentionPolicy()
        retention.when_deleted = retention.when_deleted or "Retain"
        retention.when_scaled = retention.when_scaled or "Retain"
        spec.persistent_volume_claim_retention_policy = retention
        if spec.replicas is None:
            spec.replicas = 1
        if spec.revision_history_limit is None:
            spec.revision_history_limit = HISTORY_LIMIT
        if spec.service_name is None:
            spec.service_name = ""
        for claim in spec.volume_claim_templates or ():
            default_claim(claim)
        default_spec(spec.template.spec)

    def prepare_for_create(self, obj: StatefulSet) -> None:
        obj.status = StatefulSetStatus(available_replicas=0)

    def prepare_for_update(self, obj: StatefulSet, old: StatefulSet) -> None:
        obj.status = old.status

    def warnings(self, obj: StatefulSet) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, TEMPLATE, obj.spec.template)

    def validate(self, obj: StatefulSet) -> Iterator[FieldError]:
        spec = obj.spec
        if spec.pod_management_policy not in _POLICIES:
            yield (SPEC / "podManagementPolicy").invalid(
                spec.pod_management_policy, "must be 'OrderedReady' or 'Parallel'"
            )
        yield from _update(spec)
        yield from _retention(spec)
        yield from not_negative(SPEC / "replicas", spec.replicas)
        yield from not_negative(SPEC / "minReadySeconds", spec.min_ready_seconds)
        if spec.ordinals is not None:
            yield from not_negative(SPEC / "ordinals" / "start", spec.ordinals.start)
        yield from workloads.validate_selection(spec.selector, spec.template)
        yield from workloads.validate_lasting("StatefulSet", _with_claims(spec))

    def validate_update(self, obj: StatefulSet, old: StatefulSet) -> Iterator[FieldError]:
        unchanged = codec.copy(obj.spec)
        for field in _MAY_CHANGE:
            setattr(unchanged, field, getattr(old.spec, field))
        if unchanged != old.spec:
            yield SPEC.forbidden(
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden"
            )


def _with_claims(spec: StatefulSetSpec) -> PodTemplateSpec:
    """The template with a volume for each claim, which containers may mount."""
    template = codec.copy(spec.template)
    claims = {claim.metadata.name or "": claim for claim in spec.volume_claim_templates or ()}
    others = [volume for volume in template.spec.volumes or () if volume.name not in claims]
    template.spec.volumes = [*others, *(Volume(name=name) for name in claims)]
    return template


def _update(spec: StatefulSetSpec) -> Iterator[FieldError]:
    path, update = SPEC / "updateStrategy", spec.update_strategy
    rolling = update.rolling_update
    if update.type not in ("OnDelete", "RollingUpdate"):
        yield path.invalid(update.type, "must be 'RollingUpdate' or 'OnDelete'")
    elif update.type == "OnDelete" and rolling is not None:
        yield (path / "rollingUpdate").invalid(
            codec.to_builtins(rolling), "only allowed for updateStrategy 'RollingUpdate'"
        )
    elif rolling is not None:
        yield from not_negative(path / "rollingUpdate" / "partition", rolling.partition)


def _retention(spec: StatefulSetSpec) -> Iterator[FieldError]:
    policy, path = spec.persistent_volume_claim_retention_policy, SPEC / "persistentVolumeClaimRetentionPolicy"
    if policy is not None:
        for field, value in (("whenDeleted", policy.when_deleted), ("whenScaled", policy.when_scaled)):
            yield from field_rules.required(path / field, value, _RETENTION)


_KIND = StatefulSetKind()

STATEFUL_SETS = StoredResource(
    StatefulSet,
    _KIND,
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        columns.Column("Ready", lambda obj: f"{obj.status.ready_replicas or 0}/{obj.spec.replicas or 0}"),
        columns.age(),
        workloads.container_columns(workloads.pod_template),
    ),
    subresources={
        "status": workloads.status_subresource(_KIND),
        "scale": workloads.scale_subresource(_KIND, lambda obj: field_rules.selector_text(obj.spec.selector)),
    },
)
