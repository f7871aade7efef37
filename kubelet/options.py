"""The kubelet's flags."""

from dataclasses import dataclass
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.values import Duration, IPAddress, IPNetwork


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    kubeconfig: Path = option(help="How to reach the apiserver, and who we are to it.")
    hostname_override: str = option("", "The node's name; the machine's host name by default.")
    node_ip: IPAddress | None = option(None, "The node's address; that of the default route's device by default.")
    register_node: bool = option(True, "Make the node's object if it is not there.")
    node_labels: dict[str, str] = option({}, "Labels of the node.")
    node_status_update_frequency: Duration = option("10s", "How often the node's status is looked at.")
    sync_frequency: Duration = option("1m", "How often config maps and secrets in running pods are looked at.")
    pod_manifest_path: Path | None = option(None, "Folder of static pods, a file each.")
    file_check_frequency: Duration = option("20s", "How often that folder is looked at.")
    max_pods: int = option(110, "Pods that the node takes at most.")


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    root_dir: Path = option("/var/lib/kubelet", "Where pods' volumes and files are kept.")
    docker_endpoint: str = option("unix:///var/run/docker.sock", "Where the container engine listens.")
    pod_infra_container_image: str = option("peapod/pause:1.0", "Image of the container that owns a pod's network.")
    container_log_max_size: str = option("10Mi", "Size at which a container's log is rotated.")
    container_log_max_files: int = option(5, "Log files kept per container.")
    image_gc_high_threshold: int = option(85, "Percent of the engine's disk in use from which images are removed.")
    image_gc_low_threshold: int = option(80, "Percent in use at which removing images stops.")
    minimum_image_ttl_duration: Duration = option("2m", "How long an unused image is kept at least.")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    cluster_dns: tuple[IPAddress, ...] = option((), "Name servers of pods; without them the node's own.")
    cluster_domain: str = option("cluster.local", "The cluster's domain.")
    cluster_cidr: IPNetwork | None = option(None, "Range of all pods; traffic within it is not masqueraded.")
    service_cluster_ip_range: IPNetwork | None = option(
        None, "Range of the services' addresses; traffic to it is not masqueraded."
    )
    network_plugin_mtu: int = option(0, "MTU of the pod network; 0 takes that of the node's device.")
    resolv_conf: Path = option("/etc/resolv.conf", "The node's resolver, for pods that use it.")


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    system_reserved: dict[str, str] = option({}, "What the machine's own processes need: cpu=500m,memory=1Gi.")
    kube_reserved: dict[str, str] = option({}, "What kubelet, proxy and engine need, in the same form.")
    allowed_unsafe_sysctls: tuple[str, ...] = option(
        (), "Kernel parameters that pods may set beside the safe ones; a name may end in *."
    )
    eviction_hard: tuple[str, ...] = option(
        ("memory.available<100Mi", "nodefs.available<10%", "nodefs.inodesFree<5%", "imagefs.available<15%"),
        "What makes the node evict pods.",
    )


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    address: IPAddress = option("0.0.0.0", "Address that logs and exec are served on.")
    port: int = option(10250, "Port of it.")
    tls_cert_file: Path | None = option(None, "The server's certificate. Without it nothing is served there.")
    tls_private_key_file: Path | None = option(None, "The key to it.")
    client_ca_file: Path | None = option(None, "CA of the clients that are let in.")
    healthz_bind_address: IPAddress = option("127.0.0.1", "Address of /healthz and /metrics without TLS.")
    healthz_port: int = option(10248, "Port of it.")


@dataclass(frozen=True, kw_only=True)
class KubeletOptions(Options):
    node: NodeOptions = group("Node", NodeOptions)
    runtime: RuntimeOptions = group("Runtime", RuntimeOptions)
    network: NetworkOptions = group("Network", NetworkOptions)
    resources: ResourceOptions = group("Resources", ResourceOptions)
    serving: ServingOptions = group("Serving", ServingOptions)

    def __post_init__(self) -> None:
        files = (self.serving.tls_cert_file, self.serving.tls_private_key_file, self.serving.client_ca_file)
        if any(files) and not all(files):
            raise ValueError("--tls-cert-file, --tls-private-key-file and --client-ca-file belong together")
        low, high = self.runtime.image_gc_low_threshold, self.runtime.image_gc_high_threshold
        if not 0 <= low < high <= 100:
            raise ValueError("--image-gc-low-threshold must be lower than --image-gc-high-threshold, both in percent")
        for flag, network in (
            ("--cluster-cidr", self.network.cluster_cidr),
            ("--service-cluster-ip-range", self.network.service_cluster_ip_range),
        ):
            if network is not None and network.version != 4:
                raise ValueError(f'invalid argument "{network}" for "{flag}" flag: only IPv4 is supported')
