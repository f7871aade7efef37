"""What the kubelet knows of a container: the names and labels that it writes, and the record that it reads back.

Labels and names are those that Kubernetes gave Docker containers, so that people's tools and habits work, and so that
a restarted kubelet finds everything that it needs in the engine. Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from apimachinery import meta
from apimachinery.types import core_v1

POD_UID: Final = "io.kubernetes.pod.uid"
POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
CONTAINER_TYPE: Final = "io.kubernetes.docker.type"
SANDBOX_ID: Final = "io.kubernetes.sandbox.id"
RESTART_COUNT: Final = "annotation.io.kubernetes.container.restartCount"
SPEC_HASH: Final = "annotation.io.kubernetes.container.hash"
GRACE_PERIOD: Final = "annotation.io.kubernetes.pod.terminationGracePeriod"
MESSAGE_PATH: Final = "annotation.io.kubernetes.container.terminationMessagePath"

SANDBOX: Final = "POD"
"""The container name of a sandbox."""

DEFAULT_GRACE_PERIOD = 30
"""Seconds."""

COULD_NOT_START = 128
"""The exit code of a container that the engine could not start, unless it says another."""

State = Literal["created", "running", "exited"]


@dataclass(frozen=True)
class ContainerRecord:
    """One container of ours as the engine last described it."""

    id: str
    name: str
    """The container's name within its pod; ``POD`` for a sandbox."""
    pod_uid: str
    pod_name: str
    pod_namespace: str
    attempt: int
    """How many containers of this name the pod had before: the restart count."""
    state: State
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    exit_code: int = 0
    """128 for a container that the engine could not start and gave no code of its own."""
    oom_killed: bool = False
    error: str = ""
    """Why the engine could not start it."""
    image: str = ""
    image_id: str = ""
    spec_hash: str = ""
    sandbox_id: str = ""
    grace_period: int = DEFAULT_GRACE_PERIOD
    ip: str = ""
    """A sandbox's address on the pod network."""
    host_network: bool = False
    """A sandbox on the node's own network."""
    pid: int = 0
    tty: bool = False
    stdin_once: bool = False
    """Its standard input is closed when the first client that attaches leaves."""
    stop_signal: str = "SIGTERM"
    """The signal that asks it to end, by its image or its spec."""

    @property
    def is_sandbox(self) -> bool:
        return self.name == SANDBOX

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def ended(self) -> bool:
        """It ran to its end, or could not be started; this very container is never started again."""
        return self.state == "exited" or (self.state == "created" and bool(self.error))

    @property
    def never_started(self) -> bool:
        """Left behind between create and start."""
        return self.state == "created" and not self.error


def spec_hash(container: core_v1.Container) -> str:
    """Differs between a running container and its spec when the container has to be replaced: only the image may change."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def container_name(pod: core_v1.Pod, name: str, attempt: int) -> str:
    """The engine's name: unique by pod UID and attempt, so that nothing can be started twice."""
    return f"k8s_{name}_{meta.name_of(pod)}_{meta.namespace_of(pod)}_{meta.uid_of(pod)}_{attempt}"


def labels(pod: core_v1.Pod, name: str, attempt: int) -> dict[str, str]:
    """Carried by every container of ours."""
    grace = pod.spec.termination_grace_period_seconds
    return {
        POD_UID: meta.uid_of(pod),
        POD_NAME: meta.name_of(pod),
        POD_NAMESPACE: meta.namespace_of(pod),
        CONTAINER_NAME: name,
        CONTAINER_TYPE: "podsandbox" if name == SANDBOX else "container",
        RESTART_COUNT: str(attempt),
        GRACE_PERIOD: str(DEFAULT_GRACE_PERIOD if grace is None else grace),
    }


def record_of(inspected: Mapping[str, Any]) -> ContainerRecord:
    """The record of an inspected container that carries our labels."""
    config, state = inspected["Config"], inspected["State"]
    labels: Mapping[str, str] = config.get("Labels") or {}
    error, started_at = state.get("Error") or "", _moment(state.get("StartedAt"))
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    address = next((net["IPAddress"] for net in networks.values() if net.get("IPAddress")), "")
    return ContainerRecord(
        id=inspected["Id"],
        name=labels.get(CONTAINER_NAME, ""),
        pod_uid=labels.get(POD_UID, ""),
        pod_name=labels.get(POD_NAME, ""),
        pod_namespace=labels.get(POD_NAMESPACE, ""),
        attempt=_number(labels.get(RESTART_COUNT), 0),
        state=state_of(state.get("Status", "")),
        created_at=inspected.get("Created") or "",
        started_at=started_at,
        finished_at=_moment(state.get("FinishedAt")),
        exit_code=state.get("ExitCode") or (COULD_NOT_START if error and started_at is None else 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=error,
        image=config.get("Image") or "",
        image_id=inspected.get("Image") or "",
        spec_hash=labels.get(SPEC_HASH, ""),
        sandbox_id=labels.get(SANDBOX_ID, ""),
        grace_period=_number(labels.get(GRACE_PERIOD), DEFAULT_GRACE_PERIOD),
        ip=address,
        host_network=(inspected.get("HostConfig") or {}).get("NetworkMode") == "host",
        pid=state.get("Pid") or 0,
        tty=bool(config.get("Tty")),
        stdin_once=bool(config.get("StdinOnce")),
        stop_signal=config.get("StopSignal") or "SIGTERM",
    )


def latest_records(records: Iterable[ContainerRecord]) -> dict[str, ContainerRecord]:
    """The last container of each name; sandboxes are left out."""
    latest: dict[str, ContainerRecord] = {}
    for record in sorted(records, key=lambda record: record.attempt):
        if not record.is_sandbox:
            latest[record.name] = record
    return latest


def running_sandbox(records: Iterable[ContainerRecord]) -> ContainerRecord | None:
    return next((record for record in records if record.is_sandbox and record.running), None)


def state_of(status: str) -> State:
    if status in ("running", "paused", "restarting"):
        return "running"
    return "created" if status == "created" else "exited"


def _number(text: str | None, default: int) -> int:
    """A label's number; a label that someone garbled is no reason to lose the container."""
    return int(text) if text and text.isdecimal() else default


def _moment(text: str | None) -> str | None:
    """The engine's time, None for its zero time."""
    return None if not text or text.startswith("0001-") else text
