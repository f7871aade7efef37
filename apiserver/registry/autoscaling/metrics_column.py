"""What an autoscaler aims at and what it sees, in one cell: ``cpu: 40%/80%``."""

from collections.abc import Callable
from typing import Any, Final

from apimachinery.types.autoscaling_v2 import HorizontalPodAutoscaler, MetricSpec, MetricValueStatus

_SHOWN: Final = 2
_UNKNOWN: Final = "<unknown>"


def targets(obj: HorizontalPodAutoscaler) -> str:
    metrics, seen = obj.spec.metrics or [], obj.status.current_metrics or []
    if not metrics:
        return "<none>"
    texts = [_text(metric, seen[i] if i < len(seen) else None) for i, metric in enumerate(metrics)]
    shown = ", ".join(texts[:_SHOWN])
    return f"{shown} + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else shown


def _text(metric: MetricSpec, status: Any) -> str:
    make = _TEXTS.get(metric.type)
    return make(metric, status) if make is not None else "<unknown type>"


def _value(current: MetricValueStatus | None, field: str) -> str:
    value = getattr(current, field) if current is not None else None
    return _UNKNOWN if value is None else str(value)


def _current(status: Any, source: str) -> MetricValueStatus | None:
    found = getattr(status, source) if status is not None else None
    return found.current if found is not None else None


def _named(source: str) -> Callable[[MetricSpec, Any], str]:
    """A metric that has a name, of all pods together or of each."""

    def text(metric: MetricSpec, status: Any) -> str:
        wanted, current = getattr(metric, source), _current(status, source)
        if wanted is None:
            return _UNKNOWN
        target = wanted.target
        if target.average_value is not None:
            mark = "" if source == "pods" else " (avg)"
            return f"{_value(current, 'average_value')}/{target.average_value}{mark}"
        return f"{_value(current, 'value')}/{target.value}"

    return text


def _resource(source: str) -> Callable[[MetricSpec, Any], str]:
    def text(metric: MetricSpec, status: Any) -> str:
        wanted, current = getattr(metric, source), _current(status, source)
        if wanted is None:
            return _UNKNOWN
        if wanted.target.average_value is not None:
            return f"{wanted.name}: {_value(current, 'average_value')}/{wanted.target.average_value}"
        used = _value(current, "average_utilization")
        used = used if used == _UNKNOWN else f"{used}%"
        aim = wanted.target.average_utilization
        return f"{wanted.name}: {used}/{'<auto>' if aim is None else f'{aim}%'}"

    return text


_TEXTS: Final[dict[str, Callable[[MetricSpec, Any], str]]] = {
    "External": _named("external"),
    "Object": _named("object"),
    "Pods": _named("pods"),
    "Resource": _resource("resource"),
    "ContainerResource": _resource("container_resource"),
}
