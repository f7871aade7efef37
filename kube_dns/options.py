"""kube-dns' flags."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.values import Duration, IPAddress
from kube_dns.registration import Place
from kube_dns.upstreams import Server, parse_server, parse_stub_domains


@dataclass(frozen=True, kw_only=True)
class DnsOptions:
    domain: str = option("cluster.local.", "Domain of the cluster's names.")
    dns_bind_address: tuple[IPAddress, ...] = option("0.0.0.0", "Addresses to answer on; all of IPv4 by default.")
    dns_port: int = option(53, "Port to answer on, UDP and TCP.")
    ttl: Duration = option("5s", "How long clients may keep an answer about the cluster, negative ones included.")
    reverse_ranges: tuple[IPv4Network, ...] = option(
        (),
        "Ranges whose reverse names are denied here, and not asked for elsewhere, when nothing is known of them.",
    )


@dataclass(frozen=True, kw_only=True)
class ForwardOptions:
    upstream: tuple[str, ...] = option(
        (), "Servers for all other names, IP or IP:port, the first one first; instead of --resolv-conf."
    )
    resolv_conf: str = option("/etc/resolv.conf", "File with the servers for all other names; empty for none.")
    stub_domains: dict[str, str] = option(
        {}, 'Servers of single domains: domain=IP[:port], several with "+" between them.'
    )
    cache_size: int = option(10000, "Answers of other servers to keep; 0 for none.")


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    register_service: IPv4Address | None = option(
        None, "Cluster IP of the Service kube-system/kube-dns, which is then kept up here, with its Endpoints."
    )
    advertise_address: IPv4Address | None = option(
        None, "Address of this machine for these Endpoints; the one of --dns-bind-address if that is a single one."
    )
    advertise_port: int = option(0, "Port for these Endpoints; 0 for that of --dns-port.")


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    healthz_bind_address: IPAddress = option("0.0.0.0", "Address for /health, /ready and /metrics.")
    healthz_port: int = option(8081, "Port for /health, /ready and /metrics; 0 for none.")


@dataclass(frozen=True, kw_only=True)
class KubeDnsOptions(Options):
    kubeconfig: Path | None = option(
        None, "File that tells how to reach the apiserver; the pod's service account without it."
    )
    dns: DnsOptions = group("DNS", DnsOptions)
    forward: ForwardOptions = group("Forwarding", ForwardOptions)
    registration: RegistrationOptions = group("Registration", RegistrationOptions)
    serving: ServingOptions = group("Serving", ServingOptions)

    def __post_init__(self) -> None:
        if not self.dns.domain.strip("."):
            raise ValueError("--domain: must not be empty")
        if not self.dns.dns_bind_address:
            raise ValueError("--dns-bind-address: must not be empty")
        for flag, port in (("dns-port", self.dns.dns_port), ("advertise-port", self.registration.advertise_port)):
            if not 0 <= port < 65536:
                raise ValueError(f"--{flag}: not a port")
        if not 0 <= self.dns.ttl <= 3600:
            raise ValueError("--ttl: must be between 0s and 1h")
        _checked("upstream", self.upstreams)
        _checked("stub-domains", self.stub_domains)
        if self.registration.register_service is not None:
            self.place()

    def upstreams(self) -> list[Server]:
        return [parse_server(text) for text in self.forward.upstream]

    def stub_domains(self) -> dict[str, tuple[Server, ...]]:
        return parse_stub_domains(self.forward.stub_domains)

    def place(self) -> Place | None:
        """Where to register, if at all. Raises ValueError when flags are missing for that."""
        wanted = self.registration
        if wanted.register_service is None:
            return None
        bound = self.dns.dns_bind_address
        address = wanted.advertise_address
        if (
            address is None
            and len(bound) == 1
            and isinstance(bound[0], IPv4Address)
            and not bound[0].is_unspecified
        ):
            address = bound[0]
        port = wanted.advertise_port or self.dns.dns_port
        if address is None:
            raise ValueError("--register-service needs --advertise-address")
        if not port:
            raise ValueError("--register-service needs --advertise-port")
        return Place(str(wanted.register_service), str(address), port)


def _checked(flag: str, read: Callable[[], object]) -> None:
    try:
        read()
    except ValueError as exc:
        raise ValueError(f"--{flag}: {exc}") from exc
