"""What containers need to know of the node that they run on."""

from collections.abc import Mapping
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
    """The directory of the profiles that pods name (``localhostProfile``)."""
    seccomp_default: bool = True
    """Whether containers that name no profile get the engine's own."""
    unsafe_sysctls: tuple[str, ...] = ()
    """Those that pods may set although they may affect others."""
    apparmor: bool = False
    """Whether the kernel enforces AppArmor profiles."""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def host_ips(self) -> tuple[str, ...]:
        """The node's addresses now."""
        return self.address.ips
