"""Daemon sets: one pod on each node that fits."""

from collections.abc import Iterator

from apimachinery.fields import FieldError
from apimachinery.types.apps_v1 import DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy, RollingUpdateDaemonSet
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import at_most_all, is_zero, not_negative, number_or_percent
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import HISTORY_LIMIT, SPEC, TEMPLATE

_TEMPLATES = "deprecated.daemonset.template.generation"


def _count_templates(obj: DaemonSet, number: int) -> None:
    """The template's own generation, a field of older versions that apps/v1 shows as an annotation."""
    obj.metadata.annotations = {**(obj.metadata.annotations or {}), _TEMPLATES: str(number)}


class DaemonSetKind(Strategy[DaemonSet]):
    counts_generations = True

    def default(self, obj: DaemonSet) -> None:
        update = obj.spec.update_strategy
        update.type = update.type or "RollingUpdate"
        if update.type == "RollingUpdate":
            rolling = update.rolling_update = update.rolling_update or RollingUpdateDaemonSet()
            if rolling.max_unavailable is None:
                rolling.max_unavailable = 1
            if rolling.max_surge is None:
                rolling.max_surge = 0
        if obj.spec.revision_history_limit is None:
            obj.spec.revision_history_limit = HISTORY_LIMIT
        default_spec(obj.spec.template.spec)

    def prepare_for_create(self, obj: DaemonSet) -> None:
        obj.status = DaemonSetStatus()
        _count_templates(obj, 1)

    def prepare_for_update(self, obj: DaemonSet, old: DaemonSet) -> None:
        obj.status = old.status
        before = (old.metadata.annotations or {}).get(_TEMPLATES, "")
        known = int(before) if before.isdecimal() and len(before) < 19 else 0
        _count_templates(obj, known + (obj.spec.template != old.spec.template))

    def warnings(self, obj: DaemonSet) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, TEMPLATE, obj.spec.template)

    def validate(self, obj: DaemonSet) -> Iterator[FieldError]:
        spec = obj.spec
        yield from workloads.validate_selection(spec.selector, spec.template)
        yield from workloads.validate_lasting("DaemonSet", spec.template)
        yield from not_negative(SPEC / "minReadySeconds", spec.min_ready_seconds)
        yield from not_negative(SPEC / "revisionHistoryLimit", spec.revision_history_limit)
        yield from _update(spec.update_strategy)

    def validate_update(self, obj: DaemonSet, old: DaemonSet) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "selector")


def _update(update: DaemonSetUpdateStrategy) -> Iterator[FieldError]:
    path, rolling = SPEC / "updateStrategy", update.rolling_update
    if update.type not in ("OnDelete", "RollingUpdate"):
        yield (path / "type").not_supported(update.type, ("OnDelete", "RollingUpdate"))
    elif update.type == "RollingUpdate" and rolling is not None:
        path = path / "rollingUpdate"
        for field, value in (("maxUnavailable", rolling.max_unavailable), ("maxSurge", rolling.max_surge)):
            yield from number_or_percent(path / field, value)
            yield from at_most_all(path / field, value)
        if is_zero(rolling.max_unavailable) and is_zero(rolling.max_surge):
            yield (path / "maxUnavailable").invalid(rolling.max_unavailable, "cannot be 0 when maxSurge is 0")
        elif not is_zero(rolling.max_unavailable) and not is_zero(rolling.max_surge):
            yield (path / "maxSurge").invalid(rolling.max_surge, "may not be set when maxUnavailable is non-zero")


_KIND = DaemonSetKind()

DAEMON_SETS = StoredResource(
    DaemonSet,
    _KIND,
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        workloads.count("Desired", lambda obj: obj.status.desired_number_scheduled),
        workloads.count("Current", lambda obj: obj.status.current_number_scheduled),
        workloads.count("Ready", lambda obj: obj.status.number_ready),
        workloads.count("Up-to-date", lambda obj: obj.status.updated_number_scheduled),
        workloads.count("Available", lambda obj: obj.status.number_available),
        columns.Column("Node Selector", lambda obj: columns.labels_text(obj.spec.template.spec.node_selector)),
        columns.age(),
        workloads.container_columns(workloads.pod_template),
        workloads.selector_column(lambda obj: obj.spec.selector),
    ),
    subresources={"status": workloads.status_subresource(_KIND)},
)
