"""The apiserver's flags, under Kubernetes' names."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from apiserver.admission.builtin import NAMES
from component_base.flags import Options, group, option
from component_base.values import Duration, IPAddress, PortRange


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Where the API is served, and with which certificate."""

    bind_address: IPAddress = option("0.0.0.0", "Address to listen on; all interfaces by default.")
    secure_port: int = option(6443, "Port of HTTPS.")
    workers: int = option(
        1, "Processes that serve side by side, each with a cache of its own; /metrics shows the one that answers."
    )
    advertise_address: IPv4Address | None = option(
        None, "Address by which the cluster reaches this server; by default that of the default route."
    )
    tls_cert_file: Path = option(help="Certificate of the server, with its chain.")
    tls_private_key_file: Path = option(help="Key of that certificate.")


@dataclass(frozen=True, kw_only=True)
class EtcdOptions:
    """Where objects are kept."""

    etcd_servers: tuple[str, ...] = option(("http://127.0.0.1:2379",), "URLs of the etcd members.")
    etcd_cafile: Path | None = option(None, "CA of etcd's certificates.")
    etcd_certfile: Path | None = option(None, "Client certificate for requests to etcd.")
    etcd_keyfile: Path | None = option(None, "Key of that certificate.")
    etcd_compaction_interval: Duration = option(
        "5m", "How often old revisions are compacted, and how long they are kept; 0 disables it."
    )


@dataclass(frozen=True, kw_only=True)
class IdentityOptions:
    """Authentication and authorization."""

    client_ca_file: Path | None = option(None, "CA whose client certificates name users and groups.")
    token_auth_file: Path | None = option(None, 'File of bearer tokens: token,user,uid,"group,..." a line.')
    authorization_mode: tuple[str, ...] = option(
        ("AlwaysAllow",), "How requests are authorized; only AlwaysAllow is supported."
    )
    service_account_issuer: str = option(
        "https://kubernetes.default.svc", "Issuer that tokens of service accounts name."
    )
    service_account_key_file: Path | None = option(None, "Key that verifies tokens of service accounts.")
    service_account_signing_key_file: Path | None = option(None, "Key that signs them.")
    service_account_extend_token_expiration: bool = option(
        True, "Let the tokens that are mounted into pods live a year, for clients that read them once."
    )
    service_account_jwks_uri: str = option(
        "", "URL of the keys that verify tokens; by default this server's /openid/v1/jwks."
    )
    api_audiences: tuple[str, ...] = option((), "Audiences that the API takes tokens for; the issuer by default.")


@dataclass(frozen=True, kw_only=True)
class AdmissionOptions:
    """Admission control."""

    enable_admission_plugins: tuple[str, ...] = option((), "Admission plugins to enable besides the default ones.")
    disable_admission_plugins: tuple[str, ...] = option((), "Default admission plugins to disable.")


@dataclass(frozen=True, kw_only=True)
class KubeletOptions:
    """How the nodes' kubelets are reached, for logs and exec."""

    kubelet_client_certificate: Path | None = option(None, "Client certificate for requests to kubelets.")
    kubelet_client_key: Path | None = option(None, "Key of that certificate.")
    kubelet_certificate_authority: Path | None = option(None, "CA of the kubelets' certificates.")


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """Addresses and ports of services."""

    service_cluster_ip_range: IPv4Network = option("10.0.0.0/16", "Addresses of services.")
    service_node_port_range: PortRange = option("30000-32767", "Ports that services may have on every node.")


@dataclass(frozen=True, kw_only=True)
class ApiserverOptions(Options):
    """The options of kube-apiserver."""

    serving: ServingOptions = group("Serving", ServingOptions)
    etcd: EtcdOptions = group("etcd", EtcdOptions)
    identity: IdentityOptions = group("Identities", IdentityOptions)
    admission: AdmissionOptions = group("Admission", AdmissionOptions)
    kubelets: KubeletOptions = group("Kubelets", KubeletOptions)
    services: ServiceOptions = group("Services", ServiceOptions)

    def __post_init__(self) -> None:
        if self.serving.workers < 1:
            raise ValueError("--workers must be at least 1")
        if self.services.service_cluster_ip_range.num_addresses < 8:
            raise ValueError("--service-cluster-ip-range must hold at least 8 addresses (a /29)")
        on, off = self.admission.enable_admission_plugins, self.admission.disable_admission_plugins
        if unknown := [name for name in (*on, *off) if name not in NAMES]:
            raise ValueError(f"admission plugin {unknown[0]!r} is not known; {', '.join(NAMES)} are")
        if both := set(on) & set(off):
            raise ValueError(f"admission plugin {min(both)!r} is both enabled and disabled")
        modes = set(self.identity.authorization_mode) - {"AlwaysAllow"}
        if modes:
            raise ValueError(f"--authorization-mode {','.join(sorted(modes))} is not known; AlwaysAllow is")
