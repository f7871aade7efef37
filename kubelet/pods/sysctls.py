"""Which kernel parameters a pod may set: those that do not affect others, and those that are allowed here.

Pure. They are per namespace in the kernel; in the host's namespaces none may be set.
"""

from collections.abc import Sequence

from apimachinery.types import core_v1
from kubelet.pods.status import PodFailure

SAFE = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
"""Kubernetes' own list."""


def rejection(pod: core_v1.Pod, allowed: Sequence[str]) -> PodFailure | None:
    """Why the pod may not run with its sysctls, or None. ``allowed`` are names, or prefixes that end in ``*``."""
    context = pod.spec.security_context
    for sysctl in (context.sysctls if context else None) or ():
        name = sysctl.name.replace("/", ".")
        if name.startswith("net.") and pod.spec.host_network:
            return _forbidden(f'sysctl "{name}" not allowed with host net enabled')
        if not name.startswith("net.") and pod.spec.host_ipc:
            return _forbidden(f'sysctl "{name}" not allowed with host ipc enabled')
        if name not in SAFE and not any(_matches(name, pattern) for pattern in allowed):
            return _forbidden(f'forbidden sysctl: "{name}" not allowlisted')
    return None


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _forbidden(message: str) -> PodFailure:
    return PodFailure("SysctlForbidden", f"Pod was rejected: {message}")
