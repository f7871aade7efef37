"""The kubelet's flags. A value that is not allowed ends the start with status 2 and one line that names its flag."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from component_base.credentials import CERTIFICATES, PRIVATE_KEY, check_pair
from component_base.flags import Options, group, option
from component_base.values import AGE, DIRECTORY, FILE, PERCENT, PERIOD, PORT, Duration, IPAddress, number, one_of
from kube_client.config import check_kubeconfig
from kubelet import option_values as values
from kubelet.resources.thresholds import Threshold

WEBHOOK: Final = "Webhook"


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    kubeconfig: Path = option(
        help="How to reach the apiserver, and as whom; written when the node joins.", type=values.FILE_TO_BE
    )
    bootstrap_kubeconfig: Path | None = option(
        None,
        "How to join: reaches the apiserver with a bootstrap token, while there is no valid --kubeconfig.",
        type=FILE,
    )
    hostname_override: str = option("", "The node's name; the machine's host name by default.", type=values.NODE_NAME)
    node_ip: IPAddress | None = option(None, "The node's address; that of the default route's device by default.")
    register_node: bool = option(True, "Create the node's object if it does not exist.")
    node_labels: Mapping[str, str] = option({}, "Labels of the node.", type=values.LABELS)
    node_status_update_frequency: Duration = option("10s", "How often the node's status is computed.", type=PERIOD)
    sync_frequency: Duration = option(
        "1m", "How often config maps and secrets in running pods are refreshed.", type=PERIOD
    )
    pod_manifest_path: Path | None = option(None, "Folder of static pods, a file each.", type=DIRECTORY)
    file_check_frequency: Duration = option("20s", "How often that folder is read.", type=PERIOD)
    max_pods: int = option(110, "How many pods the node runs at most.", type=number(0))


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    root_dir: Path = option("/var/lib/kubelet", "Where pods' volumes and files are kept.", type=DIRECTORY)
    docker_endpoint: str = option(
        "unix:///var/run/docker.sock", "Where the container engine listens.", type=values.ENDPOINT
    )
    pod_infra_container_image: str = option(
        "peapod/pause:1.0", "Image of the container that owns a pod's network.", type=values.IMAGE
    )
    container_log_max_size: int = option("10Mi", "Size at which a container's log is rotated.", type=values.SIZE)
    container_log_max_files: int = option(5, "How many log files a container keeps.", type=number(2))
    image_gc_high_threshold: int = option(
        85, "Percent of the engine's disk in use from which images are removed.", type=PERCENT
    )
    image_gc_low_threshold: int = option(80, "Percent in use at which removing images stops.", type=PERCENT)
    minimum_image_ttl_duration: Duration = option("2m", "How long an unused image is kept at least.", type=AGE)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    cluster_dns: tuple[IPAddress, ...] = option((), "Name servers of pods; without them the node's own.")
    cluster_domain: str = option("cluster.local", "The cluster's domain.", type=values.DOMAIN)
    cluster_cidr: IPv4Network | None = option(None, "Range of all pods; traffic within it is not masqueraded.")
    service_cluster_ip_range: IPv4Network | None = option(
        None, "Range of the services' addresses; traffic to it is not masqueraded."
    )
    network_plugin_mtu: int = option(
        0, "MTU of the pod network; 0 means that of the node's device.", type=number(0, 65535)
    )
    resolv_conf: Path | None = option(
        Path("/etc/resolv.conf"), "The node's resolver, for pods that use it; empty for none.", type=values.RESOLV_CONF
    )


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    system_reserved: Mapping[str, int] = option(
        {}, "What the machine's own processes need: cpu=500m,memory=1Gi.", type=values.RESERVED
    )
    kube_reserved: Mapping[str, int] = option(
        {}, "What kubelet, proxy and engine need, in the same form.", type=values.RESERVED
    )
    allowed_unsafe_sysctls: tuple[str, ...] = option(
        (), "Kernel parameters that pods may set besides the safe ones; a name may end in *.", type=values.SYSCTLS
    )
    seccomp_default: bool = option(
        True,
        "Give containers that name no seccomp profile the engine's own instead of none (false is Kubernetes' default).",
    )
    eviction_hard: tuple[Threshold, ...] = option(
        "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%",
        "What makes the node evict pods.",
        type=values.THRESHOLDS,
    )


@dataclass(frozen=True, kw_only=True)
class CertificateOptions:
    cert_dir: Path | None = option(
        None, "Where certificates are kept that the cluster issues; pki in --root-dir by default.", type=DIRECTORY
    )
    rotate_certificates: bool = option(False, "Renew the client certificate before it expires.")
    rotate_server_certificates: bool = option(
        False, "Serve with a certificate that the cluster issues, renewed before it expires."
    )


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    address: IPAddress = option("0.0.0.0", "Address on which logs and exec are served.")
    port: int = option(10250, "Its port.", type=PORT)
    tls_cert_file: Path | None = option(
        None, "The server's certificate. Without it nothing is served there.", type=CERTIFICATES
    )
    tls_private_key_file: Path | None = option(None, "Its key.", type=PRIVATE_KEY)
    client_ca_file: Path | None = option(None, "CA whose client certificates name users.", type=CERTIFICATES)
    healthz_bind_address: IPAddress = option("127.0.0.1", "Address of /healthz and /metrics without TLS.")
    healthz_port: int = option(10248, "Its port.", type=PORT)


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may use --port. The defaults are those of Kubernetes' KubeletConfiguration, not of its flags."""

    anonymous_auth: bool = option(False, "Take requests without credentials for those of system:anonymous.")
    authentication_token_webhook: bool = option(True, "Have the apiserver say whose a bearer token is.")
    authentication_token_webhook_cache_ttl: Duration = option(
        "2m", "How long its answers are remembered; 0 for not at all.", type=AGE
    )
    authorization_mode: str = option(
        WEBHOOK,
        "Who says what a user may do: the apiserver (Webhook), or nobody (AlwaysAllow).",
        type=one_of(WEBHOOK, "AlwaysAllow"),
    )
    authorization_webhook_cache_authorized_ttl: Duration = option(
        "5m", "How long it is remembered that a user may do something; 0 for not at all.", type=AGE
    )
    authorization_webhook_cache_unauthorized_ttl: Duration = option(
        "30s", "How long it is remembered that a user may not.", type=AGE
    )


@dataclass(frozen=True, kw_only=True)
class KubeletOptions(Options):
    node: NodeOptions = group("Node", NodeOptions)
    runtime: RuntimeOptions = group("Runtime", RuntimeOptions)
    network: NetworkOptions = group("Network", NetworkOptions)
    resources: ResourceOptions = group("Resources", ResourceOptions)
    certificates: CertificateOptions = group("Certificates", CertificateOptions)
    serving: ServingOptions = group("Serving", ServingOptions)
    access: AccessOptions = group("Access", AccessOptions)

    @property
    def cert_dir(self) -> Path:
        return self.certificates.cert_dir or self.runtime.root_dir / "pki"

    def __post_init__(self) -> None:
        if self.node.bootstrap_kubeconfig is None:
            check_kubeconfig(self.node.kubeconfig)
        else:
            check_kubeconfig(self.node.bootstrap_kubeconfig, "--bootstrap-kubeconfig")
        files = (self.serving.tls_cert_file, self.serving.tls_private_key_file, self.serving.client_ca_file)
        if self.certificates.rotate_server_certificates:
            if self.serving.tls_cert_file is not None or self.serving.tls_private_key_file is not None:
                raise ValueError("--rotate-server-certificates excludes --tls-cert-file and --tls-private-key-file")
            if self.serving.client_ca_file is None:
                raise ValueError("--rotate-server-certificates needs --client-ca-file")
        elif any(files) and not all(files):
            raise ValueError("--tls-cert-file, --tls-private-key-file and --client-ca-file belong together")
        check_pair(
            "--tls-cert-file",
            self.serving.tls_cert_file,
            "--tls-private-key-file",
            self.serving.tls_private_key_file,
        )
        if self.runtime.image_gc_low_threshold >= self.runtime.image_gc_high_threshold:
            raise ValueError("--image-gc-low-threshold must be lower than --image-gc-high-threshold")
