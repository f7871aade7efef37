"""How much is measured and for how long; the defaults keep a whole run under five minutes."""

from dataclasses import dataclass

GROUPS = ("get", "list", "post", "fanout", "cached", "dns", "schedule", "pods", "services", "idle", "kubelet")


@dataclass(frozen=True)
class Settings:
    """Times are in seconds."""

    runs: int = 3
    duration: float = 3.0
    warmup: float = 1.5
    connections: int = 32
    list_pods: int = 500
    list_connections: int = 8
    watchers: int = 500
    changes_per_second: int = 20
    fanout_seconds: float = 4.0
    cached_pods: int = 10_000
    dns_services: int = 1000
    dns_changes: int = 10
    nodes: int = 200
    pods: int = 1000
    starts: int = 20
    at_once: int = 30
    service_seconds: float = 2.0
    latency_seconds: float = 1.0
    bulk_bytes: int = 2 * 1024**3
    idle_seconds: float = 20.0
    idle_pods: tuple[int, ...] = (0, 30, 100)
    idle_pods_seconds: float = 10.0


QUICK = Settings(
    runs=1,
    duration=1.5,
    warmup=0.5,
    fanout_seconds=3.0,
    cached_pods=1000,
    dns_services=200,
    dns_changes=3,
    nodes=50,
    pods=200,
    starts=5,
    at_once=10,
    service_seconds=1.0,
    bulk_bytes=512 * 1024**2,
    idle_seconds=5.0,
    idle_pods=(0, 30),
    idle_pods_seconds=5.0,
)
"""For a first impression while working on the code: one short run of every row."""
