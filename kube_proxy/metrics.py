"""The proxy's metrics: Kubernetes' names where there are some, ``kubeproxy_`` before the others."""

import time
from collections.abc import Callable

from component_base.metrics import Counter, Gauge, Histogram
from kube_proxy.dataplane.messages import Counters

SYNC_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

sync_duration = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "Time of one sync of ports, rules and backends.",
    buckets=SYNC_BUCKETS,
)
last_sync = Gauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When rules were last synced successfully.")
last_queued = Gauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "When a sync was last asked for.")
endpoint_changes = Counter("kubeproxy_sync_proxy_rules_endpoint_changes", "Changes of Endpoints.")
service_changes = Counter("kubeproxy_sync_proxy_rules_service_changes", "Changes of Services.")
rule_steps = Counter("kubeproxy_sync_proxy_rules_iptables_steps", "Rules and chains added or removed.")
rule_failures = Counter("kubeproxy_sync_proxy_rules_iptables_restore_failures", "Commits of rules that failed.")
stale_flows = Counter("kubeproxy_conntrack_reconciler_deleted_entries", "UDP entries removed from conntrack.")
service_ports = Gauge("kubeproxy_service_ports", "Service ports that are served.")

connections = Counter("kubeproxy_connections", "Connections of clients, by what became of them.", ("result",))
dial_failures = Counter("kubeproxy_dial_failures", "Attempts to reach a backend that failed.", ("reason",))
traffic = Counter("kubeproxy_traffic_bytes", "Bytes forwarded.", ("direction",))
datagrams = Counter("kubeproxy_datagrams", "UDP datagrams forwarded.", ("direction",))
worker_restarts = Counter("kubeproxy_worker_restarts", "Workers of the data plane that ended and were replaced.")

policy_sync_duration = Histogram(
    "kubeproxy_network_policy_sync_duration_seconds",
    "Time from the objects to rules, address sets and workers that follow them.",
    buckets=SYNC_BUCKETS,
)
policy_steps = Counter("kubeproxy_network_policy_steps", "Rules and set members added or removed.")
policy_failures = Counter("kubeproxy_network_policy_failures", "Syncs of rules and address sets that failed.")
policy_rules = Gauge("kubeproxy_network_policy_rules", "Rules that let peers through to isolated pods.")


def add(counters: Counters) -> None:
    """What a worker reports."""
    connections.inc("accepted", by=counters.accepted)
    connections.inc("no_endpoints", by=counters.refused)
    connections.inc("denied_by_policy", by=counters.denied)
    connections.inc("unreachable", by=counters.failed)
    dial_failures.inc("error", by=counters.dial_errors)
    dial_failures.inc("timeout", by=counters.dial_timeouts)
    traffic.inc("to_backend", by=counters.bytes_to_backends)
    traffic.inc("to_client", by=counters.bytes_to_clients)
    datagrams.inc("to_backend", by=counters.datagrams_to_backends)
    datagrams.inc("to_client", by=counters.datagrams_to_clients)


def show_open_connections(read: Callable[[], float]) -> None:
    """Have ``read`` asked for the number of connections open now."""
    Gauge("kubeproxy_open_connections", "Connections open between clients and backends.", read=read)


def queued() -> None:
    last_queued.set(time.time())
