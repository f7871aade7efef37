"""The flags that controllers read."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.values import Duration


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    allocate_node_cidrs: bool = option(False, "Give each node a part of --cluster-cidr for its pods.")
    configure_cloud_routes: bool = option(
        False, "Keep routes from this machine to the nodes' pods, so that an apiserver here can proxy to them."
    )
    cluster_cidr: IPv4Network | None = option(None, "Addresses of the cluster's pods.")
    node_cidr_mask_size: int = option(24, "Prefix length of a node's part.")
    service_cluster_ip_range: IPv4Network | None = option(
        None, "Addresses of services; must not overlap --cluster-cidr."
    )
    node_monitor_period: Duration = option("5s", "How often nodes are checked.")
    node_monitor_grace_period: Duration = option("40s", "How long a node may be silent before it is Unknown.")
    node_startup_grace_period: Duration = option("1m", "The same for a node that has never reported.")
    node_eviction_rate: float = option(0.1, "Nodes per second whose pods are evicted.")
    pod_eviction_timeout: Duration = option(
        "5m", "How long a pod stays on a silent node if its tolerations do not say."
    )

    def __post_init__(self) -> None:
        if self.allocate_node_cidrs and self.cluster_cidr is None:
            raise ValueError("--allocate-node-cidrs needs --cluster-cidr")
        if not 0 <= self.node_cidr_mask_size <= 32:
            raise ValueError(f"--node-cidr-mask-size: {self.node_cidr_mask_size} is not between 0 and 32")
        if self.cluster_cidr is not None:
            if self.node_cidr_mask_size < self.cluster_cidr.prefixlen:
                raise ValueError(
                    f"--node-cidr-mask-size: /{self.node_cidr_mask_size} is no part of {self.cluster_cidr}"
                )
            services = self.service_cluster_ip_range
            if services is not None and self.cluster_cidr.overlaps(services):
                raise ValueError(f"--service-cluster-ip-range {services} overlaps --cluster-cidr {self.cluster_cidr}")
        self._check_times()

    def _check_times(self) -> None:
        for flag, seconds in (
            ("node-monitor-period", self.node_monitor_period),
            ("node-monitor-grace-period", self.node_monitor_grace_period),
            ("node-startup-grace-period", self.node_startup_grace_period),
        ):
            if seconds <= 0:
                raise ValueError(f"--{flag}: must be greater than zero")
        if self.pod_eviction_timeout < 0:
            raise ValueError("--pod-eviction-timeout: must not be negative")
        if not 0 < self.node_eviction_rate < float("inf"):
            raise ValueError("--node-eviction-rate: must be a number greater than zero")
        if self.node_monitor_grace_period < self.node_monitor_period:
            raise ValueError("--node-monitor-grace-period: must not be less than --node-monitor-period")


@dataclass(frozen=True, kw_only=True)
class ConcurrencyOptions:
    concurrent_rc_syncs: int = option(5, "ReplicationControllers worked on at once.")
    concurrent_endpoint_syncs: int = option(5, "Services whose endpoints are worked on at once.")
    concurrent_namespace_syncs: int = option(10, "Namespaces emptied at once.")
    concurrent_gc_syncs: int = option(20, "Objects that the garbage collector works on at once.")

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ControllerOptions(Options):
    terminated_pod_gc_threshold: int = option(12500, "Terminated pods to keep; 0 keeps all.")
    root_ca_file: Path | None = option(None, "CA certificate for the tokens of service accounts.")
    service_account_private_key_file: Path | None = option(None, "Key that signs the tokens of service accounts.")
    nodes: NodeOptions = group("Nodes", NodeOptions)
    concurrency: ConcurrencyOptions = group("Concurrency", ConcurrencyOptions)

    def __post_init__(self) -> None:
        if self.terminated_pod_gc_threshold < 0:
            raise ValueError("--terminated-pod-gc-threshold: must not be negative")
