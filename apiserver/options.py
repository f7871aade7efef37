"""The apiserver's flags, under Kubernetes' names."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from apiserver.admission.configuration import Configurations
from apiserver.admission.configuration import read_configuration as read_admission
from apiserver.admission.plugins import OFF_BY_DEFAULT, ON_BY_DEFAULT, PLUGINS
from apiserver.audit_options import AuditOptions
from apiserver.authentication.authenticators import TokenFile
from apiserver.authorization_options import AuthorizationOptions
from apiserver.front_proxy_options import FrontProxyOptions
from apiserver.oidc_options import OpenIDOptions
from apiserver.storage import NO_ENCRYPTION, Encryption, EtcdConfig, read_configuration
from component_base.credentials import CERTIFICATES, PRIVATE_KEY, RSA_PRIVATE_KEY, RSA_PUBLIC_KEY, check_pair
from component_base.flags import Options, group, option
from component_base.values import (
    AGE,
    FILE,
    PORT,
    URL,
    Duration,
    IPAddress,
    PortRange,
    ValueType,
    at_least_one,
    list_of,
    number,
    one_of,
)


def _parse_issuer(text: str) -> str:
    """A URI, or as in Kubernetes any text without a colon."""
    if not text or (":" in text and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:.", text)):
        raise ValueError("must be a URI, or a text without a colon")
    return text


NODE_MODE: Final = "Node"

_ISSUER = ValueType(_parse_issuer, str, "URI")


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Where the API is served, and with which certificate."""

    bind_address: IPAddress = option("0.0.0.0", "Address to listen on; all interfaces by default.")
    secure_port: int = option(6443, "Port of HTTPS.", type=PORT)
    workers: int = option(
        1,
        "Processes that serve side by side, each with a cache of its own; /metrics shows the one that answers.",
        type=number(1, 64),
    )
    max_requests_inflight: int = option(
        60,
        "With --max-mutating-requests-inflight, the requests that are served at once, which priority levels share; "
        "an expensive one counts as several. More do not make the server faster, and let its users wait longer.",
        type=number(1, 10_000),
    )
    max_mutating_requests_inflight: int = option(
        40, "See --max-requests-inflight: the sum of both counts.", type=number(0, 10_000)
    )
    advertise_address: IPv4Address | None = option(
        None, "Address by which the cluster reaches this server; by default that of the default route."
    )
    tls_cert_file: Path = option(help="Certificate of the server, with its chain.", type=CERTIFICATES)
    tls_private_key_file: Path = option(help="Key of that certificate.", type=PRIVATE_KEY)


@dataclass(frozen=True, kw_only=True)
class EtcdConnectionOptions:
    """How etcd is reached."""

    etcd_servers: tuple[str, ...] = option(
        ("http://127.0.0.1:2379",), "URLs of the etcd members.", type=at_least_one(URL)
    )
    etcd_cafile: Path | None = option(None, "CA of etcd's certificates.", type=CERTIFICATES)
    etcd_certfile: Path | None = option(None, "Client certificate for requests to etcd.", type=CERTIFICATES)
    etcd_keyfile: Path | None = option(None, "Key of that certificate.", type=PRIVATE_KEY)

    def config(self) -> EtcdConfig:
        return EtcdConfig(
            endpoints=tuple(self.etcd_servers),
            ca_file=_text(self.etcd_cafile),
            cert_file=_text(self.etcd_certfile),
            key_file=_text(self.etcd_keyfile),
        )

    def check(self) -> None:
        """Raises ValueError if certificate and key do not belong together."""
        check_pair("--etcd-certfile", self.etcd_certfile, "--etcd-keyfile", self.etcd_keyfile)


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None


@dataclass(frozen=True, kw_only=True)
class EtcdOptions(EtcdConnectionOptions):
    """Where objects are kept."""

    etcd_compaction_interval: Duration = option(
        "5m", "How often old revisions are compacted, and how long they are kept; 0 disables it.", type=AGE
    )
    encryption_provider_config: Path | None = option(
        None,
        "File that says what etcd holds encrypted: an EncryptionConfiguration with the providers aesgcm and identity.",
        type=FILE,
    )

    def encryption(self) -> Encryption:
        """Raises ValueError if the file says what is not understood."""
        if self.encryption_provider_config is None:
            return NO_ENCRYPTION
        return read_configuration(self.encryption_provider_config)

    def check(self) -> None:
        super().check()
        try:
            self.encryption()
        except ValueError as exc:
            raise ValueError(f"--encryption-provider-config: {exc}") from None


@dataclass(frozen=True, kw_only=True)
class IdentityOptions:
    """Who is authenticated, and how."""

    client_ca_file: Path | None = option(None, "CA whose client certificates name users and groups.", type=CERTIFICATES)
    token_auth_file: Path | None = option(None, 'File of bearer tokens: token,user,uid,"group,..." a line.', type=FILE)
    anonymous_auth: bool = option(
        True,
        "Whether requests without credentials are those of system:anonymous, which the authorizer judges; never if it "
        "is AlwaysAllow.",
    )
    enable_bootstrap_token_auth: bool = option(
        False, "Authenticate joining nodes by secrets of type bootstrap.kubernetes.io/token in kube-system."
    )
    service_account_issuer: str = option(
        "https://kubernetes.default.svc", "Issuer that tokens of service accounts name.", type=_ISSUER
    )
    service_account_key_file: Path | None = option(
        None, "Key that verifies tokens of service accounts.", type=RSA_PUBLIC_KEY
    )
    service_account_signing_key_file: Path | None = option(None, "Key that signs them.", type=RSA_PRIVATE_KEY)
    service_account_extend_token_expiration: bool = option(
        True, "Let tokens that are projected into pods live a year, for clients that read them only once."
    )
    service_account_jwks_uri: str | None = option(
        None, "URL of the keys that verify tokens; by default this server's /openid/v1/jwks.", type=URL
    )
    api_audiences: tuple[str, ...] = option((), "Audiences for which tokens are accepted; the issuer by default.")


_PLUGINS = list_of(one_of(*PLUGINS))


@dataclass(frozen=True, kw_only=True)
class AdmissionOptions:
    """What changes or refuses objects before they are stored."""

    enable_admission_plugins: tuple[str, ...] = option(
        (),
        f"Admission plugins to enable besides those that are on by default ({', '.join(ON_BY_DEFAULT)}): "
        f"{', '.join(sorted(OFF_BY_DEFAULT))}. Their order in this flag does not matter.",
        type=_PLUGINS,
    )
    disable_admission_plugins: tuple[str, ...] = option(
        (), f"Admission plugins to disable, of these: {', '.join(PLUGINS)}.", type=_PLUGINS
    )
    admission_control_config_file: Path | None = option(
        None,
        "File with the configuration of plugins: an AdmissionConfiguration, in which PodSecurity gets a "
        "PodSecurityConfiguration with its defaults and exemptions.",
        type=FILE,
    )

    default_not_ready_toleration_seconds: int = option(
        300, "Seconds that pods stay on a node that is not ready, unless they say otherwise.", type=number(0)
    )
    default_unreachable_toleration_seconds: int = option(
        300, "Seconds that pods stay on a node that is unreachable, unless they say otherwise.", type=number(0)
    )

    def configurations(self) -> Configurations:
        """Raises ValueError if the file says what is not understood."""
        if self.admission_control_config_file is None:
            return Configurations()
        return read_admission(self.admission_control_config_file)

    def check(self) -> None:
        """Raises ValueError, which names the flag."""
        on, off = self.enable_admission_plugins, self.disable_admission_plugins
        if both := set(on) & set(off):
            raise ValueError(f"--enable-admission-plugins and --disable-admission-plugins both name {min(both)!r}")
        try:
            self.configurations()
        except ValueError as exc:
            raise ValueError(f"--admission-control-config-file: {exc}") from None


@dataclass(frozen=True, kw_only=True)
class KubeletOptions:
    """How the nodes' kubelets are reached, for logs and exec."""

    kubelet_client_certificate: Path | None = option(
        None, "Client certificate for requests to kubelets.", type=CERTIFICATES
    )
    kubelet_client_key: Path | None = option(None, "Key of that certificate.", type=PRIVATE_KEY)
    kubelet_certificate_authority: Path | None = option(
        None,
        "CA of the kubelets' serving certificates, each of which names its node as system:node:<name>.",
        type=CERTIFICATES,
    )


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
    oidc: OpenIDOptions = group("OpenID Connect", OpenIDOptions)
    authorization: AuthorizationOptions = group("Authorization", AuthorizationOptions)
    front_proxy: FrontProxyOptions = group("Authenticating proxies", FrontProxyOptions)
    audit: AuditOptions = group("Audit", AuditOptions)
    admission: AdmissionOptions = group("Admission", AdmissionOptions)
    kubelets: KubeletOptions = group("Kubelets", KubeletOptions)
    services: ServiceOptions = group("Services", ServiceOptions)

    def __post_init__(self) -> None:
        if self.services.service_cluster_ip_range.num_addresses < 8:
            raise ValueError("--service-cluster-ip-range must hold at least 8 addresses (a /29)")
        if self.identity.token_auth_file is not None:
            try:
                TokenFile(self.identity.token_auth_file)
            except ValueError as exc:
                raise ValueError(f"--token-auth-file: {exc}") from None
        self.oidc.tokens()
        self.authorization.check()
        self.audit.auditor()
        self.admission.check()
        serving, kubelets = self.serving, self.kubelets
        check_pair("--tls-cert-file", serving.tls_cert_file, "--tls-private-key-file", serving.tls_private_key_file)
        self.etcd.check()
        check_pair(
            "--kubelet-client-certificate",
            kubelets.kubelet_client_certificate,
            "--kubelet-client-key",
            kubelets.kubelet_client_key,
        )

    @property
    def allows_anonymous(self) -> bool:
        return self.identity.anonymous_auth and "AlwaysAllow" not in self.authorization.authorization_mode
