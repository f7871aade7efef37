"""Events: what happened to an object. They expire by themselves."""

from collections.abc import Iterator

from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Event
from apiserver.registry import columns
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

TTL_SECONDS = 3600


class EventStrategy(Strategy[Event]):
    allow_create_on_update = True

    def default(self, obj: Event) -> None:
        """Go always writes these two."""
        obj.reporting_component = obj.reporting_component or ""
        obj.reporting_instance = obj.reporting_instance or ""

    def validate(self, obj: Event) -> Iterator[FieldError]:
        involved = obj.involved_object.namespace or ""
        # events about cluster-scoped objects live in default (or, by older clients' habit, in kube-system)
        if involved != (obj.metadata.namespace or "") and (involved or obj.metadata.namespace not in _CLUSTER_WIDE):
            yield Path("involvedObject", "namespace").invalid(involved, "does not match event.namespace")


_CLUSTER_WIDE = ("default", "kube-system")


def _source(event: Event) -> str:
    component = event.source.component or event.reporting_component or ""
    return ", ".join(part for part in (component, event.source.host) if part)


def _last_seen(event: Event) -> str:
    if event.series and event.series.last_observed_time:
        return columns.since(event.series.last_observed_time)
    return columns.since(event.last_timestamp or event.event_time or event.first_timestamp)


EVENTS = StoredResource(
    Event,
    EventStrategy(),
    singular="event",
    short_names=("ev",),
    columns=(
        columns.Column("Last Seen", _last_seen),
        columns.Column("Type", lambda event: event.type),
        columns.Column("Reason", lambda event: event.reason),
        columns.Column(
            "Object", lambda event: f"{(event.involved_object.kind or '').lower()}/{event.involved_object.name or ''}"
        ),
        columns.wide("Subobject", lambda event: event.involved_object.field_path or ""),
        columns.wide("Source", _source),
        columns.Column("Message", lambda event: (event.message or "").strip()),
        columns.wide("First Seen", lambda event: columns.since(event.first_timestamp or event.event_time)),
        columns.wide("Count", lambda event: (event.series.count if event.series else event.count) or 1),
        columns.wide("Name", lambda event: event.metadata.name),
    ),
    fields={
        "involvedObject.kind": lambda event: event.involved_object.kind or "",
        "involvedObject.namespace": lambda event: event.involved_object.namespace or "",
        "involvedObject.name": lambda event: event.involved_object.name or "",
        "involvedObject.uid": lambda event: event.involved_object.uid or "",
        "involvedObject.apiVersion": lambda event: event.involved_object.api_version or "",
        "involvedObject.resourceVersion": lambda event: event.involved_object.resource_version or "",
        "involvedObject.fieldPath": lambda event: event.involved_object.field_path or "",
        "reason": lambda event: event.reason or "",
        "reportingComponent": lambda event: event.reporting_component or "",
        "source": lambda event: event.source.component or event.reporting_component or "",
        "type": lambda event: event.type or "",
    },
    ttl_seconds=TTL_SECONDS,
)
