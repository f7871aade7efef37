"""kube-proxy's flags."""

import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from component_base.flags import Options, group, option
from component_base.values import Duration, HostPort, IPNetwork, PortRange
from kube_proxy.iptables import backends


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    healthz_bind_address: HostPort = option(
        HostPort("127.0.0.1", 10256), "Address and port of /healthz; port 0 takes a free one."
    )
    metrics_bind_address: HostPort = option(
        HostPort("127.0.0.1", 10249), "Address and port of /metrics and /proxyMode; port 0 takes a free one."
    )


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    proxy_mode: str = option(
        "userspace", "How traffic reaches a service's endpoints.", choices=["userspace", "iptables"]
    )
    iptables_backend: str = option(
        "auto",
        "Where rules are written: legacy, nft (by the iptables command), or auto: legacy where the kernel has it.",
        choices=backends.CHOICES,
    )
    bind_address: IPv4Address = option("0.0.0.0", "Address on which proxy ports listen; userspace mode needs all.")
    proxy_port_range: PortRange | None = option(
        None, "Ports to use for service ports (default: a range outside of ip_local_port_range and the node ports)."
    )
    nodeport_addresses: tuple[IPNetwork, ...] = option(
        (), "Ranges of this node's addresses on which node ports answer; all addresses by default."
    )
    cluster_cidr: IPNetwork | None = option(
        None, "Where pods have their addresses; iptables mode hides all others from endpoints."
    )
    service_cluster_ip_range: IPv4Network = option(
        "10.0.0.0/16", "The range of cluster IPs; what no service of it catches is refused."
    )
    iptables_sync_period: Duration = option(
        "5s", "How often the rules are verified, and mended if someone else changed them."
    )
    workers: int = option(
        min(2, os.cpu_count() or 1), "Processes that forward traffic. More pay off where there are more cores."
    )


@dataclass(frozen=True, kw_only=True)
class KubeProxyOptions(Options):
    kubeconfig: Path | None = option(None, "How to reach the apiserver; the pod's service account by default.")
    hostname_override: str = option(socket.gethostname().lower(), "Name of this node in events.")
    cleanup: bool = option(False, "Remove all rules, chains and the service range's route, and exit.")
    proxy: ProxyOptions = group("Proxy", ProxyOptions)
    serving: ServingOptions = group("ServedPort", ServingOptions)

    def __post_init__(self) -> None:
        if self.proxy.workers < 1:
            raise ValueError(f'invalid argument "{self.proxy.workers}" for "--workers" flag: must be at least 1')
        if self.proxy.iptables_sync_period <= 0:
            raise ValueError("invalid argument for --iptables-sync-period: must be greater than 0")
        if not self.proxy.bind_address.is_unspecified:
            raise ValueError(
                f'invalid argument "{self.proxy.bind_address}" for "--bind-address" flag: '
                "redirected connections arrive at any address of the node, so it must be 0.0.0.0"
            )
        for network in self.proxy.nodeport_addresses:
            if not isinstance(network, IPv4Network):
                raise ValueError(f'invalid argument "{network}" for "--nodeport-addresses" flag: must be IPv4')
