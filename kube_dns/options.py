"""kube-dns' flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.serving_options import CertificateOptions
from component_base.values import (
    PORT,
    Duration,
    IPAddress,
    ValueType,
    format_duration,
    list_of,
    number,
    parse_address,
    parse_duration,
    parse_file,
    parse_ipv4_address,
)
from kube_client.config import check_kubeconfig
from kube_dns.registration import Place
from kube_dns.upstreams import Server, parse_domain, parse_server, parse_stub_domains

_LONGEST_TTL = 3600
_ADDRESSES = list_of(ValueType(parse_address, str, "IP"))


def _parse_bind_addresses(text: str) -> tuple[IPAddress, ...]:
    addresses: tuple[IPAddress, ...] = _ADDRESSES.parse(text)
    if not addresses:
        raise ValueError("must not be empty")
    return addresses


def _parse_ttl(text: str) -> Duration:
    seconds = parse_duration(text)
    if not 0 <= seconds <= _LONGEST_TTL:
        raise ValueError("must be between 0s and 1h")
    return seconds


def _parse_resolv_conf(text: str) -> Path | None:
    return parse_file(text) if text else None


def _parse_single_address(text: str) -> IPv4Address:
    address = parse_ipv4_address(text)
    if address.is_unspecified:
        raise ValueError("must be a single address")
    return address


def _format_stub_domains(domains: Mapping[str, tuple[Server, ...]]) -> str:
    return ",".join(f"{domain}={'+'.join(map(str, servers))}" for domain, servers in domains.items())


_SINGLE_ADDRESS = ValueType(_parse_single_address, str, "IP")


@dataclass(frozen=True, kw_only=True)
class DnsOptions:
    domain: str = option("cluster.local", "Domain of the cluster's names.", type=ValueType(parse_domain, str, "DOMAIN"))
    dns_bind_address: tuple[IPAddress, ...] = option(
        "0.0.0.0",
        "Addresses to answer on; all of IPv4 by default.",
        type=ValueType(_parse_bind_addresses, _ADDRESSES.format, _ADDRESSES.metavar),
    )
    dns_port: int = option(53, "Port to answer on, UDP and TCP; 0 takes a free one.", type=PORT)
    ttl: Duration = option(
        "5s",
        "How long clients may cache an answer about the cluster, negative ones included.",
        type=ValueType(_parse_ttl, format_duration, "DURATION"),
    )
    reverse_ranges: tuple[IPv4Network, ...] = option(
        (), "Ranges whose unknown reverse names do not exist, instead of being forwarded."
    )


@dataclass(frozen=True, kw_only=True)
class ForwardOptions:
    upstream: tuple[Server, ...] = option(
        (),
        "Servers for all other names, IP or IP:port, the first one first; instead of --resolv-conf.",
        type=list_of(ValueType(parse_server, str, "IP[:PORT]")),
    )
    resolv_conf: Path | None = option(
        Path("/etc/resolv.conf"),
        "File with the servers for all other names; empty for none.",
        type=ValueType(_parse_resolv_conf, str, "PATH"),
    )
    stub_domains: Mapping[str, tuple[Server, ...]] = option(
        {},
        'Servers of single domains: domain=IP[:port], several with "+" between them.',
        type=ValueType(parse_stub_domains, _format_stub_domains, "DOMAIN=IP[:PORT]+...,..."),
    )
    cache_size: int = option(10000, "How many answers of other servers to cache; 0 for none.", type=number(0))


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    register_service: IPv4Address | None = option(
        None,
        "Cluster IP of the Service kube-system/kube-dns, which this server then maintains, with its Endpoints.",
        type=_SINGLE_ADDRESS,
    )
    advertise_address: IPv4Address | None = option(
        None,
        "Address of this machine in these Endpoints; that of --dns-bind-address if that is a single one.",
        type=_SINGLE_ADDRESS,
    )
    advertise_port: int = option(0, "Port in these Endpoints; 0 for that of --dns-port.", type=PORT)


@dataclass(frozen=True, kw_only=True)
class ServingOptions(CertificateOptions):
    healthz_bind_address: IPAddress = option("0.0.0.0", "Address of /health and /ready, for probes.")
    healthz_port: int = option(8081, "Port of /health and /ready; 0 for none.", type=PORT)
    metrics_bind_address: IPAddress = option("127.0.0.1", "Address of /metrics.")
    metrics_port: int = option(9153, "Port of /metrics; 0 for none.", type=PORT)


@dataclass(frozen=True, kw_only=True)
class KubeDnsOptions(Options):
    kubeconfig: Path | None = option(None, "How to reach the apiserver; the pod's service account by default.")
    dns: DnsOptions = group("DNS", DnsOptions)
    forward: ForwardOptions = group("Forwarding", ForwardOptions)
    registration: RegistrationOptions = group("Registration", RegistrationOptions)
    serving: ServingOptions = group("Serving", ServingOptions)

    def __post_init__(self) -> None:
        check_kubeconfig(self.kubeconfig)
        self.place()

    def place(self) -> Place | None:
        """Where to register, if at all. Raises ValueError when flags are missing for that."""
        registration, bound = self.registration, self.dns.dns_bind_address
        if registration.register_service is None:
            return None
        address: IPAddress | None = registration.advertise_address
        if address is None and len(bound) == 1 and isinstance(bound[0], IPv4Address) and not bound[0].is_unspecified:
            address = bound[0]
        port = registration.advertise_port or self.dns.dns_port
        if address is None:
            raise ValueError("--register-service needs --advertise-address")
        if not port:
            raise ValueError("--register-service needs --advertise-port")
        return Place(str(registration.register_service), str(address), port)
