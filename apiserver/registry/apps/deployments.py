"""Deployments: replica sets that follow one another."""

from collections.abc import Iterator

from apimachinery.fields import FieldError
from apimachinery.types.apps_v1 import Deployment, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import at_most_all, is_zero, not_negative, number_or_percent
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import HISTORY_LIMIT, SPEC, TEMPLATE

PROGRESS_SECONDS = 600
_SHARE = "25%"


class DeploymentKind(Strategy[Deployment]):
    counts_generations = True

    def default(self, obj: Deployment) -> None:
        spec = obj.spec
        if spec.replicas is None:
            spec.replicas = 1
        if spec.revision_history_limit is None:
            spec.revision_history_limit = HISTORY_LIMIT
        if spec.progress_deadline_seconds is None:
            spec.progress_deadline_seconds = PROGRESS_SECONDS
        spec.strategy.type = spec.strategy.type or "RollingUpdate"
        if spec.strategy.type == "RollingUpdate":
            rolling = spec.strategy.rolling_update = spec.strategy.rolling_update or RollingUpdateDeployment()
            if rolling.max_unavailable is None:
                rolling.max_unavailable = _SHARE
            if rolling.max_surge is None:
                rolling.max_surge = _SHARE
        default_spec(spec.template.spec)

    def prepare_for_create(self, obj: Deployment) -> None:
        obj.status = DeploymentStatus()

    def prepare_for_update(self, obj: Deployment, old: Deployment) -> None:
        obj.status = old.status

    def warnings(self, obj: Deployment) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, TEMPLATE, obj.spec.template)

    def validate(self, obj: Deployment) -> Iterator[FieldError]:
        spec = obj.spec
        yield from not_negative(SPEC / "replicas", spec.replicas)
        yield from workloads.validate_selection(spec.selector, spec.template)
        yield from workloads.validate_lasting("ReplicaSet", spec.template)
        yield from _strategy(spec.strategy)
        yield from not_negative(SPEC / "minReadySeconds", spec.min_ready_seconds)
        yield from not_negative(SPEC / "revisionHistoryLimit", spec.revision_history_limit)
        yield from not_negative(SPEC / "progressDeadlineSeconds", spec.progress_deadline_seconds)
        if spec.progress_deadline_seconds is not None and (
            spec.progress_deadline_seconds <= (spec.min_ready_seconds or 0)
        ):
            yield (SPEC / "progressDeadlineSeconds").invalid(
                spec.progress_deadline_seconds, "must be greater than minReadySeconds"
            )

    def validate_update(self, obj: Deployment, old: Deployment) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "selector")


def _strategy(strategy: DeploymentStrategy) -> Iterator[FieldError]:
    path, rolling = SPEC / "strategy", strategy.rolling_update
    if strategy.type not in ("Recreate", "RollingUpdate"):
        yield (path / "type").not_supported(strategy.type, ("Recreate", "RollingUpdate"))
    elif strategy.type == "Recreate":
        if rolling is not None:
            yield (path / "rollingUpdate").forbidden("may not be specified when strategy `type` is 'Recreate'")
    elif rolling is not None:
        path = path / "rollingUpdate"
        yield from number_or_percent(path / "maxUnavailable", rolling.max_unavailable)
        yield from number_or_percent(path / "maxSurge", rolling.max_surge)
        if is_zero(rolling.max_unavailable) and is_zero(rolling.max_surge):
            yield (path / "maxUnavailable").invalid(rolling.max_unavailable, "may not be 0 when `maxSurge` is 0")
        yield from at_most_all(path / "maxUnavailable", rolling.max_unavailable)


_KIND = DeploymentKind()

DEPLOYMENTS = StoredResource(
    Deployment,
    _KIND,
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        columns.Column("Ready", lambda obj: f"{obj.status.ready_replicas or 0}/{obj.spec.replicas or 0}"),
        columns.Column("Up-to-date", lambda obj: str(obj.status.updated_replicas or 0)),
        columns.Column("Available", lambda obj: str(obj.status.available_replicas or 0)),
        columns.age(),
        workloads.container_columns(workloads.pod_template),
        workloads.selector_column(lambda obj: obj.spec.selector),
    ),
    subresources={
        "status": workloads.status_subresource(_KIND),
        "scale": workloads.scale_subresource(_KIND, lambda obj: field_rules.selector_text(obj.spec.selector)),
    },
)
