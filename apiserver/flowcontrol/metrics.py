"""Metrics of flow control, under Kubernetes' names."""

from typing import Final

from component_base.metrics import Counter, Gauge, Histogram

_OF_FLOWS: Final = ("priority_level", "flow_schema")

dispatched: Final = Counter(
    "apiserver_flowcontrol_dispatched_requests",
    "Requests that were served, by priority level and flow schema.",
    _OF_FLOWS,
)
rejected: Final = Counter(
    "apiserver_flowcontrol_rejected_requests",
    "Requests that were refused, by priority level, flow schema and reason.",
    (*_OF_FLOWS, "reason"),
)
waiting: Final = Gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.", _OF_FLOWS)
waited: Final = Histogram(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    "How long requests waited that could not be served at once.",
    (*_OF_FLOWS, "execute"),
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
)
executing: Final = Gauge("apiserver_flowcontrol_current_executing_requests", "Requests that have seats.", _OF_FLOWS)
nominal_seats: Final = Gauge(
    "apiserver_flowcontrol_nominal_limit_seats", "Seats that a priority level has by its shares.", ("priority_level",)
)
watches: Final = Counter("apiserver_flowcontrol_rejected_watches", "Watches refused because their user has too many.")
