"""The targets of an autoscaler and the current values, in one cell: ``cpu: 40%/80%``."""

from collections.abc import Callable
from typing import Final

from apimachinery.types.autoscaling_v2 import HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricValueStatus

_SHOWN: Final = 2
_UNKNOWN: Final = "<unknown>"


def targets(obj: HorizontalPodAutoscaler) -> str:
    metrics, current = obj.spec.metrics or [], obj.status.current_metrics or []
    if not metrics:
        return "<none>"
    texts = [_text(metric, current[i] if i < len(current) else None) for i, metric in enumerate(metrics)]
    text = ", ".join(texts[:_SHOWN])
    return f"{text} + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else text


def _text(metric: MetricSpec, status: MetricStatus | None) -> str:
    make = _TEXTS.get(metric.type)
    return make(metric, status) if make is not None else "<unknown type>"


def _value(current: MetricValueStatus | None, field: str) -> str:
    value = getattr(current, field) if current is not None else None
    return _UNKNOWN if value is None else str(value)


def _current(status: MetricStatus | None, source: str) -> MetricValueStatus | None:
    metric_status = getattr(status, source) if status is not None else None
    return metric_status.current if metric_status is not None else None


def _named(source: str) -> Callable[[MetricSpec, MetricStatus | None], str]:
    """A metric that has a name, of all pods together or of each."""

    def text(metric: MetricSpec, status: MetricStatus | None) -> str:
        spec, current = getattr(metric, source), _current(status, source)
        if spec is None:
            return _UNKNOWN
        target = spec.target
        if target.average_value is not None:
            mark = "" if source == "pods" else " (avg)"
            return f"{_value(current, 'average_value')}/{target.average_value}{mark}"
        return f"{_value(current, 'value')}/{target.value}"

    return text


def _resource(source: str) -> Callable[[MetricSpec, MetricStatus | None], str]:
    def text(metric: MetricSpec, status: MetricStatus | None) -> str:
        spec, current = getattr(metric, source), _current(status, source)
        if spec is None:
            return _UNKNOWN
        if spec.target.average_value is not None:
            return f"{spec.name}: {_value(current, 'average_value')}/{spec.target.average_value}"
        used = _value(current, "average_utilization")
        used = used if used == _UNKNOWN else f"{used}%"
        aim = spec.target.average_utilization
        return f"{spec.name}: {used}/{'<auto>' if aim is None else f'{aim}%'}"

    return text


_TEXTS: Final[dict[str, Callable[[MetricSpec, MetricStatus | None], str]]] = {
    "External": _named("external"),
    "Object": _named("object"),
    "Pods": _named("pods"),
    "Resource": _resource("resource"),
    "ContainerResource": _resource("container_resource"),
}
