"""Events as events.k8s.io/v1 has them: the same objects under newer names."""

from collections.abc import Iterator
from typing import Final

from apimachinery import meta
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1, events_v1
from apiserver.registry import field_rules
from apiserver.registry.core.events import EVENTS
from apiserver.registry.versions import Conversion, ConvertedStrategy, other_version

_RENAMED: Final = (  # in events.k8s.io, in core
    ("note", "message"),
    ("reporting_controller", "reporting_component"),
    ("deprecated_count", "count"),
    ("deprecated_first_timestamp", "first_timestamp"),
    ("deprecated_last_timestamp", "last_timestamp"),
)
_SAME: Final = ("action", "event_time", "metadata", "reason", "related", "reporting_instance", "type")
_SELECTABLE: Final = {  # pkg/apis/events/v1/conversion.go
    "reason": "reason",
    **{
        f"regarding.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reportingController": "reportingComponent",
    "type": "type",
}
_DEPRECATED: Final = (
    "deprecated_count", "deprecated_first_timestamp", "deprecated_last_timestamp", "deprecated_source",
)  # fmt: skip
_TYPES: Final = ("Normal", "Warning")
_LIMITS: Final = (("reporting_instance", 128), ("action", 128), ("reason", 128), ("note", 1024))


def from_core(event: core_v1.Event) -> events_v1.Event:
    series, event_time = event.series, event.event_time
    first = event.first_timestamp or event.metadata.creation_timestamp
    if event_time is None and first is not None:  # clients refuse an event of this version without it
        event_time = meta.format_micro_time(meta.parse_time(first))
    return events_v1.Event(
        regarding=event.involved_object,
        deprecated_source=event.source,
        series=events_v1.EventSeries(count=series.count or 0, last_observed_time=series.last_observed_time)
        if series
        else None,
        **{new: getattr(event, old) or None for new, old in _RENAMED},  # here, empty fields are omitted
        **{name: getattr(event, name) or None for name in _SAME if name not in ("metadata", "event_time")},
        metadata=event.metadata,
        event_time=event_time,
    )


def to_core(event: events_v1.Event) -> core_v1.Event:
    series = event.series
    return core_v1.Event(
        involved_object=event.regarding or core_v1.ObjectReference(),
        source=event.deprecated_source or core_v1.EventSource(),
        series=core_v1.EventSeries(count=series.count, last_observed_time=series.last_observed_time)
        if series
        else None,
        **{old: getattr(event, new) for new, old in _RENAMED},
        **{name: getattr(event, name) for name in _SAME},
    )


class NewEvent(ConvertedStrategy[events_v1.Event, core_v1.Event]):
    """The newer version asks for more than the older one does, of new events (``validateV1EventCreate``)."""

    def _copy_back(self, stored: core_v1.Event, obj: events_v1.Event) -> None:
        given = obj.event_time
        super()._copy_back(stored, obj)
        obj.event_time = given  # not the one that older events are shown with

    def validate_create(self, obj: events_v1.Event) -> Iterator[FieldError]:
        yield from super().validate_create(obj)
        if obj.event_time is None:
            yield Path("eventTime").required()
        for name in _DEPRECATED:
            if getattr(obj, name) not in (None, 0, core_v1.EventSource()):
                yield Path(field_rules.wire_name(events_v1.Event, name)).invalid(
                    getattr(obj, name), "needs to be unset"
                )
        for name in ("reporting_controller", "reporting_instance", "action", "reason"):
            if not getattr(obj, name):
                yield Path(field_rules.wire_name(events_v1.Event, name)).required()
        yield from field_rules.required(Path("type"), obj.type, _TYPES)
        for name, limit in _LIMITS:
            if len(getattr(obj, name) or "") > limit:
                yield Path(field_rules.wire_name(events_v1.Event, name)).invalid(
                    "", f"can have at most {limit} characters"
                )


_CONVERSION: Final = Conversion(events_v1.Event, to_core, from_core)

EVENTS_K8S_IO = other_version(EVENTS, _CONVERSION, NewEvent(EVENTS.strategy, _CONVERSION), renamed_fields=_SELECTABLE)
