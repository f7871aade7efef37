"""What pods learn of the node that they are on: fixed at the start, or read when needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.types.base import Quantity
from kubelet.containers.etc_files import Resolver
from kubelet.node.address import NodeAddress


@dataclass(frozen=True)
class NodeContext:
    name: str
    hostname: str
    address: NodeAddress
    memory: int
    """Bytes."""
    lowest_oom_score: int
    resolver: Resolver
    """The node's own."""
    hosts: str
    """The node's own /etc/hosts."""
    seccomp_root: Path
    """Where profiles lie that pods name (``localhostProfile``)."""
    unsafe_sysctls: tuple[str, ...] = ()
    """Those that pods may set although they may harm others."""
    apparmor: bool = False
    """Whether the kernel enforces AppArmor profiles."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    allocatable: Callable[[], Mapping[str, Quantity]] = field(default=dict)

    @property
    def host_ips(self) -> tuple[str, ...]:
        """The node's addresses now."""
        return self.address.ips
