"""Metrics of the client, under client-go's names, in prometheus_client's default registry."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)

_ADDS = Counter("workqueue_adds", "Keys added to a work queue.", ["name"])
_DEPTH = Gauge("workqueue_depth", "Keys waiting in a work queue.", ["name"])
_RETRIES = Counter("workqueue_retries", "Keys put back after a failure.", ["name"])
_QUEUE_DURATION = Histogram("workqueue_queue_duration_seconds", "Seconds a key waited.", ["name"], buckets=_BUCKETS)
_WORK_DURATION = Histogram("workqueue_work_duration_seconds", "Seconds of work on a key.", ["name"], buckets=_BUCKETS)

REQUESTS = Counter("rest_client_requests", "Requests to the apiserver.", ["code", "method"])
RETRIES = Counter("rest_client_request_retries", "Requests to the apiserver sent again.", ["verb"])
CERTIFICATE_EXPIRATION = Gauge(
    "rest_client_certificate_expiration_timestamp_seconds",
    "When the certificate of the client, or of the apiserver's authority, expires, in seconds since 1970.",
    ["file"],
)
EVENTS_DROPPED = Counter("event_recorder_dropped", "Events that were not written.", ["reason"])


class WorkQueueMetrics:
    """The metrics of one queue; children are looked up once."""

    def __init__(self, name: str) -> None:
        self.adds = _ADDS.labels(name)
        self.depth = _DEPTH.labels(name)
        self.retries = _RETRIES.labels(name)
        self.queue_duration = _QUEUE_DURATION.labels(name)
        self.work_duration = _WORK_DURATION.labels(name)
