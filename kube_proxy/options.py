"""kube-proxy's flags."""

import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.serving_options import CertificateOptions
from component_base.values import (
    PERIOD,
    Duration,
    HostPort,
    PortRange,
    ValueType,
    number,
    parse_address,
    parse_host_port,
    parse_ipv4_address,
    parse_object_name,
    parse_port_range,
)
from kube_client.config import check_kubeconfig
from kube_proxy.iptables import backends


def _parse_ip_port(text: str) -> HostPort:
    address = parse_host_port(text)
    parse_address(address.host)
    return address


def _parse_bind_address(text: str) -> IPv4Address:
    address = parse_ipv4_address(text)
    if not address.is_unspecified:
        raise ValueError("redirected connections arrive at any address of the node, so it must be 0.0.0.0")
    return address


def _parse_proxy_ports(text: str) -> PortRange:
    ports = parse_port_range(text)
    if not ports.first:
        raise ValueError("the first port must be at least 1")
    return ports


_IP_PORT = ValueType(_parse_ip_port, str, "IP:PORT")


@dataclass(frozen=True, kw_only=True)
class ServingOptions(CertificateOptions):
    healthz_bind_address: HostPort = option(
        "127.0.0.1:10256", "Address and port of /healthz; port 0 takes a free one.", type=_IP_PORT
    )
    metrics_bind_address: HostPort = option(
        "127.0.0.1:10249",
        "Address and port of /metrics, /proxyMode and /table; port 0 takes a free one.",
        type=_IP_PORT,
    )


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    proxy_mode: str = option(
        "userspace", "How traffic reaches a service's endpoints.", choices=["userspace", "iptables"]
    )
    iptables_backend: str = option(
        backends.AUTO,
        "Which tables rules are written to. auto: in userspace mode the legacy ones where the kernel has them, "
        "otherwise those of the host's iptables command.",
        choices=backends.CHOICES,
    )
    bind_address: IPv4Address = option(
        "0.0.0.0",
        "Address on which proxy ports listen; userspace mode needs all.",
        type=ValueType(_parse_bind_address, str, "IP"),
    )
    proxy_port_range: PortRange | None = option(
        None,
        "Ports to use for service ports (default: a range outside of ip_local_port_range and the node ports).",
        type=ValueType(_parse_proxy_ports, str, "FIRST-LAST"),
    )
    nodeport_addresses: tuple[IPv4Network, ...] = option(
        (), "Ranges of this node's addresses on which node ports answer; all addresses by default."
    )
    cluster_cidr: IPv4Network | None = option(
        None, "Where pods have their addresses; iptables mode masquerades all other clients of cluster IPs."
    )
    service_cluster_ip_range: IPv4Network = option(
        "10.0.0.0/16", "The range of cluster IPs; connections to addresses and ports of no service in it are refused."
    )
    network_policy: bool = option(
        True, "Enforce NetworkPolicies. Without, those of an earlier run are removed, and the Node says so."
    )
    iptables_sync_period: Duration = option(
        "5s", "How often the rules are verified, and repaired if someone else has changed them.", type=PERIOD
    )
    workers: int = option(
        min(2, os.cpu_count() or 1),
        "Processes that forward traffic. More pay off where there are more cores.",
        type=number(1),
    )


@dataclass(frozen=True, kw_only=True)
class KubeProxyOptions(Options):
    kubeconfig: Path | None = option(None, "How to reach the apiserver; the pod's service account by default.")
    hostname_override: str | None = option(
        None,
        "This node's name, which distinguishes its endpoints from those of other nodes (default: the host's name).",
        type=ValueType(lambda name: parse_object_name(name.lower()), str, "NAME"),
    )
    cleanup: bool = option(False, "Remove all rules, chains and the service range's route, and exit.")
    proxy: ProxyOptions = group("Proxy", ProxyOptions)
    serving: ServingOptions = group("Serving", ServingOptions)

    def __post_init__(self) -> None:
        if not self.cleanup:
            check_kubeconfig(self.kubeconfig)

    @property
    def node(self) -> str:
        return self.hostname_override or socket.gethostname().lower()
