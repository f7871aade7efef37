"""Metrics of requests, under Kubernetes' names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from apimachinery.scheme import Resource
from component_base.metrics import Counter, Gauge, Histogram

requests_total: Final = Counter(
    "apiserver_request",
    "Requests by verb, group, version, resource, subresource and HTTP status.",
    ("verb", "group", "version", "resource", "subresource", "code"),
)
request_duration: Final = Histogram(
    "apiserver_request_duration_seconds",
    "Time from request to answer; without streams.",
    ("verb", "group", "resource"),
)
inflight: Final = Gauge("apiserver_current_inflight_requests", "Requests being served, without streams.")
longrunning: Final = Gauge(
    "apiserver_longrunning_requests", "Streams being served.", ("verb", "group", "version", "resource")
)


@contextmanager
def watching(resource: Resource) -> Iterator[None]:
    labels = ("WATCH", resource.group, resource.version, resource.plural)
    longrunning.add(1, *labels)
    try:
        yield
    finally:
        longrunning.add(-1, *labels)
