"""The flags of kube-controller-manager."""

from dataclasses import dataclass
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.values import Duration, IPAddress, IPNetwork

NAME = "kube-controller-manager"


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    bind_address: IPAddress = option("0.0.0.0", "Address to serve /healthz and /metrics on; all by default.")
    secure_port: int = option(10257, "Port for /healthz and /metrics; 0 for none.")
    tls_cert_file: Path | None = option(None, "Certificate to serve with; without it there is no TLS.")
    tls_private_key_file: Path | None = option(None, "Key of that certificate.")


@dataclass(frozen=True, kw_only=True)
class LeaderElectionOptions:
    leader_elect: bool = option(True, "Stand for election, and act only while leading.")
    leader_elect_lease_duration: Duration = option("15s", "How long others wait for a silent leader.")
    leader_elect_renew_deadline: Duration = option("10s", "How long the leader tries to renew.")
    leader_elect_retry_period: Duration = option("2s", "Time between tries.")
    leader_elect_resource_name: str = option(NAME, "Name of the Lease.")
    leader_elect_resource_namespace: str = option("kube-system", "Namespace of the Lease.")


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    allocate_node_cidrs: bool = option(False, "Give each node a part of --cluster-cidr for its pods.")
    configure_cloud_routes: bool = option(
        False, "Keep routes from this machine to the nodes' pods, so that an apiserver here can proxy to them."
    )
    cluster_cidr: IPNetwork | None = option(None, "Addresses of the cluster's pods.")
    node_cidr_mask_size: int = option(24, "Prefix length of a node's part.")
    service_cluster_ip_range: IPNetwork | None = option(
        None, "Addresses of services; must not overlap --cluster-cidr."
    )
    node_monitor_period: Duration = option("5s", "How often nodes are looked at.")
    node_monitor_grace_period: Duration = option("40s", "How long a node may be silent before it is Unknown.")
    node_startup_grace_period: Duration = option("1m", "The same for a node that has never reported.")
    node_eviction_rate: float = option(0.1, "Nodes per second whose pods are evicted.")
    pod_eviction_timeout: Duration = option(
        "5m", "How long a pod stays on a silent node if its tolerations do not say."
    )


@dataclass(frozen=True, kw_only=True)
class ConcurrencyOptions:
    concurrent_rc_syncs: int = option(5, "ReplicationControllers worked on at once.")
    concurrent_endpoint_syncs: int = option(5, "Services whose endpoints are worked on at once.")
    concurrent_namespace_syncs: int = option(10, "Namespaces emptied at once.")
    concurrent_gc_syncs: int = option(20, "Objects that the garbage collector works on at once.")


@dataclass(frozen=True, kw_only=True)
class ControllerManagerOptions(Options):
    kubeconfig: Path | None = option(
        None, "File that tells how to reach the apiserver; the pod's service account without it."
    )
    controllers: tuple[str, ...] = option(
        ("*",), "Controllers to run: '*' is all, 'name' adds one, '-name' leaves one out."
    )
    terminated_pod_gc_threshold: int = option(12500, "Pods that have ended to keep; 0 keeps all.")
    root_ca_file: Path | None = option(None, "CA certificate for the tokens of service accounts.")
    service_account_private_key_file: Path | None = option(None, "Key that signs the tokens of service accounts.")
    nodes: NodeOptions = group("Nodes", NodeOptions)
    concurrency: ConcurrencyOptions = group("Concurrency", ConcurrencyOptions)
    serving: ServingOptions = group("Serving", ServingOptions)
    election: LeaderElectionOptions = group("Leader election", LeaderElectionOptions)

    def __post_init__(self) -> None:
        nodes, serving = self.nodes, self.serving
        if nodes.allocate_node_cidrs and nodes.cluster_cidr is None:
            raise ValueError("--allocate-node-cidrs needs --cluster-cidr")
        if nodes.cluster_cidr and not (
            nodes.cluster_cidr.prefixlen <= nodes.node_cidr_mask_size <= nodes.cluster_cidr.max_prefixlen
        ):
            raise ValueError(
                f"--node-cidr-mask-size: /{nodes.node_cidr_mask_size} is no part of {nodes.cluster_cidr}"
            )
        if (
            nodes.cluster_cidr
            and nodes.service_cluster_ip_range
            and nodes.cluster_cidr.overlaps(nodes.service_cluster_ip_range)
        ):
            raise ValueError(
                f"--service-cluster-ip-range {nodes.service_cluster_ip_range} overlaps "
                f"--cluster-cidr {nodes.cluster_cidr}"
            )
        if nodes.node_eviction_rate <= 0 or nodes.node_monitor_period <= 0:
            raise ValueError("--node-eviction-rate and --node-monitor-period must be above 0")
        if (serving.tls_cert_file is None) != (serving.tls_private_key_file is None):
            raise ValueError("--tls-cert-file and --tls-private-key-file go together")
