"""Horizontal pod autoscalers, autoscaling/v2, which is also how they are stored."""

from collections.abc import Iterator
from typing import Any, Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.autoscaling_v2 import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from apiserver.registry import columns, field_rules
from apiserver.registry.autoscaling.metrics_column import targets
from apiserver.registry.columns import Column
from apiserver.registry.field_rules import not_negative, positive
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

CPU_PERCENT: Final = 80
SOURCES: Final = {
    "ContainerResource": "container_resource", "External": "external", "Object": "object", "Pods": "pods",
    "Resource": "resource",
}  # fmt: skip
_TARGETS: Final = ("AverageValue", "Utilization", "Value")
_SELECTIONS: Final = ("Disabled", "Max", "Min")
_LONGEST_WINDOW: Final = 3600
_LONGEST_PERIOD: Final = 1800


class HorizontalPodAutoscalerKind(Strategy[HorizontalPodAutoscaler]):
    def default(self, obj: HorizontalPodAutoscaler) -> None:
        spec = obj.spec
        if spec.min_replicas is None:
            spec.min_replicas = 1
        if not spec.metrics:
            target = MetricTarget(type="Utilization", average_utilization=CPU_PERCENT)
            spec.metrics = [MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target))]
        if spec.behavior is not None:
            spec.behavior.scale_up = _rules(spec.behavior.scale_up, 0, [("Pods", 4), ("Percent", 100)])
            spec.behavior.scale_down = _rules(spec.behavior.scale_down, None, [("Percent", 100)])

    def prepare_for_create(self, obj: HorizontalPodAutoscaler) -> None:
        obj.status = HorizontalPodAutoscalerStatus()

    def prepare_for_update(self, obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler) -> None:
        obj.status = old.status

    def validate(self, obj: HorizontalPodAutoscaler) -> Iterator[FieldError]:
        spec = obj.spec
        least = spec.min_replicas if spec.min_replicas is not None else 1
        if least < 1:
            yield (SPEC / "minReplicas").invalid(least, "must be greater than or equal to 1")
        if spec.max_replicas < 1:
            yield (SPEC / "maxReplicas").invalid(spec.max_replicas, "must be greater than 0")
        if spec.max_replicas < least:
            yield (SPEC / "maxReplicas").invalid(spec.max_replicas, "must be greater than or equal to `minReplicas`")
        yield from _reference(SPEC / "scaleTargetRef", spec.scale_target_ref)
        for i, metric in enumerate(spec.metrics or ()):
            yield from _metric((SPEC / "metrics")[i], metric)
        if spec.behavior is not None:
            for field, rules in (("scaleUp", spec.behavior.scale_up), ("scaleDown", spec.behavior.scale_down)):
                if rules is not None:
                    yield from _behavior(SPEC / "behavior" / field, rules)


def _rules(rules: HPAScalingRules | None, window: int | None, policies: list[tuple[str, int]]) -> HPAScalingRules:
    rules = rules or HPAScalingRules()
    rules.select_policy = rules.select_policy or "Max"
    if rules.stabilization_window_seconds is None:
        rules.stabilization_window_seconds = window
    if rules.policies is None:
        rules.policies = [HPAScalingPolicy(type=kind, value=value, period_seconds=15) for kind, value in policies]
    return rules


def _reference(path: Path, reference: CrossVersionObjectReference) -> Iterator[FieldError]:
    for field, value in (("kind", reference.kind), ("name", reference.name)):
        if not value:
            yield (path / field).required()
        else:
            yield from names.check(path / field, value, names.path_segment)


def _metric(path: Path, metric: MetricSpec) -> Iterator[FieldError]:
    if not metric.type:
        yield (path / "type").required("must specify a metric source type")
        return
    if metric.type not in SOURCES:
        yield (path / "type").not_supported(metric.type, sorted(SOURCES))
        return
    field = field_rules.wire_name(MetricSpec, SOURCES[metric.type])
    for extra in field_rules.set_fields(metric, "type"):
        if extra != field:
            yield (path / extra).forbidden(f"must populate the given metric source only for type {metric.type}")
    source: Any = getattr(metric, SOURCES[metric.type])
    path = path / field
    if source is None:
        yield path.required(f"must populate information for the given metric source (type {metric.type})")
        return
    if metric.type == "Object":
        yield from _reference(path / "describedObject", source.described_object)
    if metric.type == "ContainerResource" and not source.container:
        yield (path / "container").required("must specify a container")
    if metric.type in ("Resource", "ContainerResource"):
        if not source.name:
            yield (path / "name").required("must specify a resource name")
    else:
        if not source.metric.name:
            yield (path / "metric" / "name").required("must specify a metric name")
        yield from field_rules.validate_selector(path / "metric" / "selector", source.metric.selector)
    yield from _target(path / "target", source.target, metric.type)


def _target(path: Path, target: MetricTarget, kind: str) -> Iterator[FieldError]:
    yield from field_rules.required(path / "type", target.type, _TARGETS)
    if kind in ("Resource", "ContainerResource"):
        yield from positive(path / "averageUtilization", target.average_utilization)
        if target.average_utilization is None and target.average_value is None:
            yield (path / "averageUtilization").required("must set either a target raw value or a target utilization")
        elif target.average_utilization is not None and target.average_value is not None:
            yield (path / "averageValue").forbidden("may not set both a target raw value and a target utilization")
    elif kind == "Pods":
        if target.average_value is None:
            yield (path / "averageValue").required("must specify a positive target averageValue")
    elif target.value is None and target.average_value is None:
        yield (path / "averageValue").required("must set either a target value for metric or a per-pod target")


def _behavior(path: Path, rules: HPAScalingRules) -> Iterator[FieldError]:
    window = rules.stabilization_window_seconds
    yield from not_negative(path / "stabilizationWindowSeconds", window)
    if window is not None and window > _LONGEST_WINDOW:
        yield (path / "stabilizationWindowSeconds").invalid(window, f"must be less than or equal to {_LONGEST_WINDOW}")
    yield from field_rules.one_of(path / "selectPolicy", rules.select_policy, _SELECTIONS)
    if not rules.policies:
        yield (path / "policies").required("must specify at least one Policy")
    for i, policy in enumerate(rules.policies or ()):
        place = (path / "policies")[i]
        yield from field_rules.required(place / "type", policy.type, ("Percent", "Pods"))
        yield from positive(place / "value", policy.value)
        yield from positive(place / "periodSeconds", policy.period_seconds)
        if policy.period_seconds > _LONGEST_PERIOD:
            yield (place / "periodSeconds").invalid(
                policy.period_seconds, f"must be less than or equal to {_LONGEST_PERIOD}"
            )


_KIND = HorizontalPodAutoscalerKind()
STATUS: Final = StatusStrategy[HorizontalPodAutoscaler](_KIND)

HORIZONTAL_POD_AUTOSCALERS = StoredResource(
    HorizontalPodAutoscaler,
    _KIND,
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    columns=(
        columns.name(),
        Column("Reference", lambda obj: f"{obj.spec.scale_target_ref.kind}/{obj.spec.scale_target_ref.name}"),
        Column("Targets", targets),
        Column("MinPods", lambda obj: "<unset>" if obj.spec.min_replicas is None else str(obj.spec.min_replicas)),
        Column("MaxPods", lambda obj: str(obj.spec.max_replicas)),
        Column("Replicas", lambda obj: str(obj.status.current_replicas or 0)),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(STATUS)},
)
