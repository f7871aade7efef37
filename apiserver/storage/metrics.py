"""Metrics of storage, under kube-apiserver's names where there are any."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

etcd_request_duration: Final = Histogram(
    "etcd_request_duration_seconds",
    "Etcd request latency in seconds for each operation.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
etcd_request_errors: Final = Counter(
    "etcd_request_errors_total", "Etcd failed request counts for each operation.", ["operation"]
)
storage_objects: Final = Gauge(
    "apiserver_storage_objects", "Number of objects in the watch cache by resource.", ["resource"]
)
cache_capacity: Final = Gauge(
    "apiserver_watch_cache_capacity", "Events kept for watches that start in the past, by resource.", ["resource"]
)
events_received: Final = Counter(
    "apiserver_watch_cache_events_received_total", "Events received by the watch cache, by resource.", ["resource"]
)
registered_watchers: Final = Gauge(
    "apiserver_registered_watchers", "Number of currently registered watchers, by resource.", ["resource"]
)
watchers_terminated: Final = Counter(
    "apiserver_terminated_watchers_total", "Watchers ended for falling too far behind, by resource.", ["resource"]
)
feed_revision: Final = Gauge("apiserver_watch_cache_revision", "The etcd revision that the watch caches have reached.")
feed_restarts: Final = Counter("apiserver_watch_cache_restarts_total", "Restarts of the etcd watch, by kind.", ["how"])
storage_size: Final = Gauge(
    "apiserver_storage_size_bytes", "Size of etcd's database, which counts against its quota.", ["storage_cluster_id"]
)
storage_size_in_use: Final = Gauge(
    "apiserver_storage_size_in_use_bytes", "What kube-etcd-defrag would leave of it.", ["storage_cluster_id"]
)
storage_quota: Final = Gauge(
    "apiserver_storage_quota_bytes", "Etcd's --quota-backend-bytes, where etcd tells it.", ["storage_cluster_id"]
)
storage_space_low: Final = Gauge(
    "apiserver_storage_space_low",
    "1 if the database has more than four fifths of its quota, or writes are refused for lack of space.",
    ["storage_cluster_id"],
)
