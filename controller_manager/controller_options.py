"""The flags that controllers read."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from component_base.credentials import CERTIFICATES, RSA_PRIVATE_KEY
from component_base.flags import Options, group, option
from component_base.values import AGE, PERIOD, Duration, number
from controller_manager.signing_options import SigningOptions

_WORKERS: Final = number(1, 1000)


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    allocate_node_cidrs: bool = option(False, "Give each node a part of --cluster-cidr for its pods.")
    configure_cloud_routes: bool = option(
        False, "Keep routes from this machine to the nodes' pods, so that an apiserver here can proxy to them."
    )
    cluster_cidr: IPv4Network | None = option(None, "Addresses of the cluster's pods.")
    node_cidr_mask_size: int = option(24, "Prefix length of a node's part.", type=number(0, 32))
    service_cluster_ip_range: IPv4Network | None = option(
        None, "Addresses of services; must not overlap --cluster-cidr."
    )
    node_monitor_period: Duration = option("5s", "How often nodes are checked.", type=PERIOD)
    node_monitor_grace_period: Duration = option(
        "40s", "How long a node may be silent before it is Unknown.", type=PERIOD
    )
    node_startup_grace_period: Duration = option("1m", "The same for a node that has never reported.", type=PERIOD)
    node_eviction_rate: float = option(0.1, "Nodes per second whose pods are evicted.")
    pod_eviction_timeout: Duration = option(
        "5m", "How long a pod stays on a silent node if its tolerations do not say.", type=AGE
    )

    def __post_init__(self) -> None:
        pods, services = self.cluster_cidr, self.service_cluster_ip_range
        if self.allocate_node_cidrs and pods is None:
            raise ValueError("--allocate-node-cidrs needs --cluster-cidr")
        if pods is not None and self.node_cidr_mask_size < pods.prefixlen:
            raise ValueError(f"--node-cidr-mask-size: /{self.node_cidr_mask_size} is no part of {pods}")
        if pods is not None and services is not None and pods.overlaps(services):
            raise ValueError(f"--service-cluster-ip-range {services} overlaps --cluster-cidr {pods}")
        if self.node_eviction_rate <= 0:
            raise ValueError("--node-eviction-rate: must be positive")
        if self.node_monitor_grace_period < self.node_monitor_period:
            raise ValueError("--node-monitor-grace-period: must not be less than --node-monitor-period")


@dataclass(frozen=True, kw_only=True)
class ConcurrencyOptions:
    concurrent_rc_syncs: int = option(5, "ReplicationControllers worked on at once.", type=_WORKERS)
    concurrent_endpoint_syncs: int = option(5, "Services whose endpoints are worked on at once.", type=_WORKERS)
    concurrent_namespace_syncs: int = option(10, "Namespaces emptied at once.", type=_WORKERS)
    concurrent_resource_quota_syncs: int = option(5, "ResourceQuotas counted at once.", type=_WORKERS)
    concurrent_gc_syncs: int = option(20, "Objects that the garbage collector works on at once.", type=_WORKERS)


@dataclass(frozen=True, kw_only=True)
class ControllerOptions(Options):
    terminated_pod_gc_threshold: int = option(12500, "Terminated pods to keep; 0 keeps all.", type=number(0))
    resource_quota_sync_period: Duration = option("5m", "How often all that quotas limit is counted anew.", type=PERIOD)
    root_ca_file: Path | None = option(None, "CA certificate for the tokens of service accounts.", type=CERTIFICATES)
    legacy_service_account_token_secrets: bool = option(
        False, "Make a token secret for each service account, as Kubernetes did before 1.24."
    )
    service_account_private_key_file: Path | None = option(
        None, "Key that signs the tokens of service accounts.", type=RSA_PRIVATE_KEY
    )
    signing: SigningOptions = group("Signing of certificates", SigningOptions)
    nodes: NodeOptions = group("Nodes", NodeOptions)
    concurrency: ConcurrencyOptions = group("Concurrency", ConcurrencyOptions)
