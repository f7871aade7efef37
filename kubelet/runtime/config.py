"""A pod's sandbox and containers as the engine's create request: the one place that knows its JSON.

Pure. What has to be looked up first (environment, mounts, the image's user) is passed in as ``RunContainerOptions``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery import quantity
from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.runtime import records, security
from kubelet.runtime.records import ContainerRecord

CPU_PERIOD = 100_000
"""Microseconds: the kernel's and Kubernetes' default period of the CPU quota."""

_MIN_SHARES, _MAX_SHARES, _MIN_QUOTA = 2, 262_144, 1000

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


@dataclass(frozen=True)
class Mount:
    """A path of the node in a container."""

    source: Path
    target: str
    read_only: bool = False
    propagation: str | None = None
    """Kubernetes' name: None, HostToContainer, Bidirectional."""


@dataclass(frozen=True)
class RunContainerOptions:
    """What a container's spec only refers to, looked up; Kubernetes' name for it."""

    command: Sequence[str] = ()
    args: Sequence[str] = ()
    environment: Sequence[tuple[str, str]] = ()
    mounts: Sequence[Mount] = ()
    user: str = ""
    oom_score_adj: int = 0
    seccomp: str = ""
    """The JSON of the node's seccomp profile that its security context names."""
    process_target: str = ""
    """ID of the container whose process namespace is joined; empty for what the pod's spec says."""


@dataclass(frozen=True)
class Defaults:
    """Settings that all containers of this node share."""

    network: str
    """The engine's network that pods are on."""
    pause_image: str
    log_max_size: int = 10 * 1024 * 1024
    """Bytes."""
    log_max_files: int = 5
    log_config: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        config = {"max-size": str(self.log_max_size), "max-file": str(self.log_max_files)}
        object.__setattr__(self, "log_config", {"Type": "json-file", "Config": config})


def sandbox(pod: core_v1.Pod, attempt: int, hostname: str, oom_score_adj: int, defaults: Defaults) -> dict[str, Any]:
    """The pause container that owns the pod's network and IPC namespaces."""
    spec = pod.spec
    host: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else defaults.network,
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "CpuShares": _MIN_SHARES,
        "OomScoreAdj": oom_score_adj,
        "LogConfig": defaults.log_config,
        "RestartPolicy": {"Name": "no"},
        "PortBindings": {} if spec.host_network else _port_bindings(pod),
    }
    if spec.security_context and spec.security_context.sysctls:
        host["Sysctls"] = {sysctl.name.replace("/", "."): sysctl.value for sysctl in spec.security_context.sysctls}
    config: dict[str, Any] = {
        "Image": defaults.pause_image,
        "Labels": records.labels(pod, records.SANDBOX, attempt),
        "ExposedPorts": {port: {} for port in host["PortBindings"]},
        "HostConfig": host,
    }
    if not spec.host_network:
        config["Hostname"] = hostname
    return config


def container(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    attempt: int,
    owner: ContainerRecord,
    options: RunContainerOptions,
    defaults: Defaults,
) -> dict[str, Any]:
    """A container that joins the namespaces of the sandbox ``owner``."""
    labels = records.labels(pod, spec.name, attempt)
    labels[records.SANDBOX_ID] = owner.id
    labels[records.SPEC_HASH] = records.spec_hash(spec)
    if spec.termination_message_path:
        labels[records.MESSAGE_PATH] = spec.termination_message_path
    config: dict[str, Any] = {
        "Image": spec.image,
        "Entrypoint": list(options.command) or None,
        "Cmd": list(options.args) or None,
        "Env": [f"{name}={value}" for name, value in options.environment],
        "WorkingDir": spec.working_dir or "",
        "User": options.user,
        "Tty": bool(spec.tty),
        "OpenStdin": bool(spec.stdin),
        "StdinOnce": bool(spec.stdin_once),
        "Labels": labels,
        # An image's own health check would run in addition to the pod's probes, and nothing would use its result.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": f"container:{owner.id}",
            "IpcMode": f"container:{owner.id}",
            "PidMode": _pid_mode(pod.spec, owner, options.process_target),
            "Mounts": [_mount(mount) for mount in options.mounts],
            "LogConfig": defaults.log_config,
            "RestartPolicy": {"Name": "no"},
            "OomScoreAdj": options.oom_score_adj,
            **_resources(spec.resources),
            **security.settings(pod, spec, options.seccomp),
        },
    }
    if spec.lifecycle and spec.lifecycle.stop_signal:
        config["StopSignal"] = spec.lifecycle.stop_signal
    return config


def _pid_mode(spec: core_v1.PodSpec, owner: ContainerRecord, target: str) -> str:
    if target:
        return f"container:{target}"
    if spec.host_pid:
        return "host"
    return f"container:{owner.id}" if spec.share_process_namespace else ""


def _port_bindings(pod: core_v1.Pod) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for spec in containers.long_running(pod):
        for port in spec.ports or ():
            if port.host_port:
                inside = f"{port.container_port}/{(port.protocol or 'TCP').lower()}"
                outside = {"HostIp": port.host_ip or "", "HostPort": str(port.host_port)}
                bindings.setdefault(inside, []).append(outside)
    return bindings


def _mount(mount: Mount) -> dict[str, Any]:
    bind: dict[str, Any] = {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    # Otherwise private, by the engine's default. Set explicitly, it would refuse a directory that contains the engine's own.
    if propagation := _PROPAGATION.get(mount.propagation or ""):
        bind["BindOptions"] = {"Propagation": propagation}
    return bind


def _resources(resources: core_v1.ResourceRequirements) -> dict[str, Any]:
    limits, requests = resources.limits or {}, resources.requests or {}
    settings: dict[str, Any] = {"CpuShares": cpu_shares(requests.get("cpu", limits.get("cpu")))}
    if "cpu" in limits:
        settings["CpuPeriod"] = CPU_PERIOD
        settings["CpuQuota"] = max(_MIN_QUOTA, quantity.milli(limits["cpu"]) * CPU_PERIOD // 1000)
    if "memory" in limits:
        # Swap equal to the limit means no swap, as in Kubernetes.
        settings["Memory"] = settings["MemorySwap"] = quantity.value(limits["memory"])
    return settings


def cpu_shares(cpu: str | int | float | None) -> int:
    """The weight for a CPU request; the minimum without one."""
    if cpu is None:
        return _MIN_SHARES
    return min(_MAX_SHARES, max(_MIN_SHARES, quantity.milli(cpu) * 1024 // 1000))
