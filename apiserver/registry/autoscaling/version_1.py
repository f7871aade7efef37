"""Autoscalers as autoscaling/v1 has them: CPU alone. What v1 has no field for is kept in annotations, as upstream."""

from typing import Final, TypeVar

from apimachinery import codec
from apimachinery.types import autoscaling_v1 as v1
from apimachinery.types import autoscaling_v2 as v2
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.autoscaling.horizontalpodautoscalers import HORIZONTAL_POD_AUTOSCALERS, STATUS
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.versions import Conversion, ConvertedStrategy, other_version

D = TypeVar("D")

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
_METRICS: Final = _PREFIX + "metrics"
_CURRENT: Final = _PREFIX + "current-metrics"
_CONDITIONS: Final = _PREFIX + "conditions"
_BEHAVIOR: Final = _PREFIX + "behavior"
_ALL: Final = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)


def _is_cpu(metric: v2.MetricSpec) -> bool:
    """Whether v1 has a field for the metric."""
    source = metric.resource
    return (
        metric.type == "Resource"
        and source is not None
        and source.name == "cpu"
        and (source.target.average_utilization is not None)
    )


def _is_cpu_status(status: v2.MetricStatus) -> bool:
    source = status.resource
    return source is not None and source.name == "cpu" and source.current.average_utilization is not None


def from_v2(obj: v2.HorizontalPodAutoscaler) -> v1.HorizontalPodAutoscaler:
    metrics, current = obj.spec.metrics or [], obj.status.current_metrics or []
    cpu = next((metric for metric in metrics if _is_cpu(metric)), None)
    used = next((status for status in current if _is_cpu_status(status)), None)
    annotations: dict[str, str] = {}
    for key, value in (
        (_METRICS, [metric for metric in metrics if metric is not cpu]),
        (_CURRENT, current),
        (_CONDITIONS, obj.status.conditions),
        (_BEHAVIOR, obj.spec.behavior),
    ):
        if value:
            annotations[key] = codec.encode(value).decode()
    return v1.HorizontalPodAutoscaler(
        metadata=_annotated(obj.metadata, annotations),
        spec=v1.HorizontalPodAutoscalerSpec(
            scale_target_ref=_reference(obj.spec.scale_target_ref, v1.CrossVersionObjectReference),
            min_replicas=obj.spec.min_replicas,
            max_replicas=obj.spec.max_replicas,
            target_cpu_utilization_percentage=cpu.resource.target.average_utilization if cpu and cpu.resource else None,
        ),
        status=v1.HorizontalPodAutoscalerStatus(
            observed_generation=obj.status.observed_generation,
            last_scale_time=obj.status.last_scale_time,
            current_replicas=obj.status.current_replicas or 0,
            desired_replicas=obj.status.desired_replicas,
            current_cpu_utilization_percentage=(
                used.resource.current.average_utilization if used and used.resource else None
            ),
        ),
    )


def to_v2(obj: v1.HorizontalPodAutoscaler) -> v2.HorizontalPodAutoscaler:
    annotations = obj.metadata.annotations or {}
    metrics: list[v2.MetricSpec] = _read(annotations.get(_METRICS), list[v2.MetricSpec]) or []
    percent = obj.spec.target_cpu_utilization_percentage
    if percent is not None:
        target = v2.MetricTarget(type="Utilization", average_utilization=percent)
        metrics = [
            v2.MetricSpec(type="Resource", resource=v2.ResourceMetricSource(name="cpu", target=target)),
            *metrics,
        ]
    return v2.HorizontalPodAutoscaler(
        metadata=_annotated(obj.metadata, {}),
        spec=v2.HorizontalPodAutoscalerSpec(
            scale_target_ref=_reference(obj.spec.scale_target_ref, v2.CrossVersionObjectReference),
            min_replicas=obj.spec.min_replicas,
            max_replicas=obj.spec.max_replicas,
            metrics=metrics or None,
            behavior=_read(annotations.get(_BEHAVIOR), v2.HorizontalPodAutoscalerBehavior),
        ),
        status=v2.HorizontalPodAutoscalerStatus(
            observed_generation=obj.status.observed_generation,
            last_scale_time=obj.status.last_scale_time,
            current_replicas=obj.status.current_replicas,
            desired_replicas=obj.status.desired_replicas,
            current_metrics=_read(annotations.get(_CURRENT), list[v2.MetricStatus]),
            conditions=_read(annotations.get(_CONDITIONS), list[v2.HorizontalPodAutoscalerCondition]),
        ),
    )


Reference = TypeVar("Reference", v1.CrossVersionObjectReference, v2.CrossVersionObjectReference)


def _reference(
    reference: v1.CrossVersionObjectReference | v2.CrossVersionObjectReference, cls: type[Reference]
) -> Reference:
    return cls(api_version=reference.api_version, kind=reference.kind, name=reference.name)


def _read(text: str | None, cls: type[D]) -> D | None:
    return codec.decode(text.encode(), cls) if text else None


def _annotated(metadata: ObjectMeta, extra: dict[str, str]) -> ObjectMeta:
    """The metadata without the annotations that stand for fields, and with these."""
    annotations = {key: value for key, value in (metadata.annotations or {}).items() if key not in _ALL}
    copied: ObjectMeta = codec.copy(metadata)
    copied.annotations = {**annotations, **extra} or None
    return copied


_CONVERSION: Final = Conversion(v1.HorizontalPodAutoscaler, to_v2, from_v2)

HORIZONTAL_POD_AUTOSCALERS_V1 = other_version(
    HORIZONTAL_POD_AUTOSCALERS,
    _CONVERSION,
    ConvertedStrategy(HORIZONTAL_POD_AUTOSCALERS.strategy, _CONVERSION),
    {"status": ObjectSubresource(ConvertedStrategy(STATUS, _CONVERSION))},
)
