"""READY, STATUS and RESTARTS of a pod, state by state, as Kubernetes prints them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apimachinery import meta
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.core import pod_columns

AGO = meta.format_time(datetime.now(UTC) - timedelta(days=10, hours=12))
RUNS: dict[str, Any] = {"running": v1.ContainerStateRunning()}
DONE: dict[str, Any] = {"terminated": v1.ContainerStateTerminated(exit_code=0, reason="Completed")}


def waits(reason: str) -> dict[str, Any]:
    return {"waiting": v1.ContainerStateWaiting(reason=reason)}


def ended(code: int, **fields: Any) -> dict[str, Any]:
    return {"terminated": v1.ContainerStateTerminated(exit_code=code, **fields)}


def status(
    state: dict[str, Any], name: str = "c", *, ready: bool = False, started: bool | None = None, restarts: int = 0
) -> v1.ContainerStatus:
    last = v1.ContainerState(terminated=v1.ContainerStateTerminated(exit_code=1, finished_at=AGO))
    return v1.ContainerStatus(
        name=name,
        state=v1.ContainerState(**state),
        ready=ready,
        started=started if started is not None else "running" in state,
        restart_count=restarts,
        last_state=last if restarts else v1.ContainerState(),
    )


READY = status(RUNS, ready=True)


def pod(
    *own: v1.ContainerStatus,
    init: tuple[v1.ContainerStatus, ...] = (),
    phase: str = "Running",
    reason: str | None = None,
    deleted: bool = False,
    true: tuple[str, ...] = (),
    conditions: tuple[v1.PodCondition, ...] = (),
) -> v1.Pod:
    """Init containers whose names begin with ``side`` are sidecars; ``true`` are conditions."""
    return v1.Pod(
        metadata=ObjectMeta(name="p", deletion_timestamp="2026-01-01T00:00:00Z" if deleted else None),
        spec=v1.PodSpec(
            containers=[v1.Container(name=f"c{i}") for i in range(max(1, len(own)))],
            init_containers=[
                v1.Container(name=s.name, restart_policy="Always" if s.name.startswith("side") else None) for s in init
            ],
        ),
        status=v1.PodStatus(
            phase=phase,
            reason=reason,
            container_statuses=list(own),
            init_container_statuses=list(init),
            conditions=[*conditions, *(v1.PodCondition(type=type, status="True") for type in true)],
        ),
    )


GATED = v1.PodCondition(type="PodScheduled", status="False", reason="SchedulingGated")
WAITS = status(waits("PodInitializing"))
OK, FIRST, NEXT = status(DONE, "a", ready=True), status(RUNS, "a"), status(waits("PodInitializing"), "b")
SIDE = status(RUNS, "side", ready=True)


@pytest.mark.parametrize(
    ("shown", "row"),
    [
        (pod(phase="Pending"), ("0/1", "Pending", "0")),
        (pod(phase="Pending", conditions=(GATED,)), ("0/1", "SchedulingGated", "0")),
        (pod(phase="Failed", reason="Evicted"), ("0/1", "Evicted", "0")),
        (pod(status(waits("ContainerCreating")), phase="Pending"), ("0/1", "ContainerCreating", "0")),
        (pod(READY, true=("Ready",)), ("1/1", "Running", "0")),
        (pod(status(RUNS)), ("0/1", "Running", "0")),
        (pod(status(RUNS, ready=True, restarts=1)), ("1/1", "Running", "1 (10d ago)")),
        (pod(status(waits("CrashLoopBackOff"), restarts=3)), ("0/1", "CrashLoopBackOff", "3 (10d ago)")),
        (pod(status(ended(3, reason="Error"))), ("0/1", "Error", "0")),
        (pod(status(ended(3))), ("0/1", "ExitCode:3", "0")),
        (pod(status(ended(137, signal=9))), ("0/1", "Signal:9", "0")),
        (pod(status(DONE), phase="Succeeded"), ("0/1", "Completed", "0")),
        (pod(status(DONE), READY), ("1/2", "NotReady", "0")),
        (pod(status(DONE), READY, true=("Ready",)), ("1/2", "Running", "0")),
        (pod(status(DONE), status(ended(2, reason="Error"))), ("0/2", "Error", "0")),
        (pod(READY, deleted=True), ("1/1", "Terminating", "0")),
        (pod(status(DONE), phase="Succeeded", deleted=True), ("0/1", "Completed", "0")),
        (pod(READY, reason="NodeLost", deleted=True), ("1/1", "Unknown", "0")),
        # Init containers, one after the other.
        (pod(WAITS, init=(FIRST, NEXT), phase="Pending"), ("0/1", "Init:0/2", "0")),
        (pod(WAITS, init=(status(waits("PodInitializing"), "a"), NEXT), phase="Pending"), ("0/1", "Init:0/2", "0")),
        (pod(WAITS, init=(OK, status(RUNS, "b")), phase="Pending"), ("0/1", "Init:1/2", "0")),
        (pod(WAITS, init=(OK,), phase="Pending"), ("0/1", "PodInitializing", "0")),
        (pod(WAITS, init=(status(waits("ImagePullBackOff"), "a"),)), ("0/1", "Init:ImagePullBackOff", "0")),
        (pod(WAITS, init=(status(waits("CrashLoopBackOff"), "a", restarts=2),)),
         ("0/1", "Init:CrashLoopBackOff", "2 (10d ago)")),
        (pod(WAITS, init=(status(ended(1, reason="Error"), "a"),)), ("0/1", "Init:Error", "0")),
        (pod(WAITS, init=(status(ended(1), "a"),)), ("0/1", "Init:ExitCode:1", "0")),
        (pod(WAITS, init=(status(ended(137, signal=9), "a"),)), ("0/1", "Init:Signal:9", "0")),
        (pod(READY, init=(status(DONE, "a", restarts=4),)), ("1/1", "Running", "0")),
        # Sidecars.
        (pod(READY, init=(SIDE,), true=("Ready",)), ("2/2", "Running", "0")),
        (pod(WAITS, init=(SIDE, status(RUNS, "b")), phase="Pending"), ("1/2", "Init:1/2", "0")),
        (pod(WAITS, init=(status(RUNS, "side", started=False), NEXT), phase="Pending"), ("0/2", "Init:0/2", "0")),
        (pod(READY, init=(status(RUNS, "side"),)), ("1/2", "Running", "0")),
        (pod(status(RUNS, ready=True, restarts=1), init=(status(RUNS, "side", ready=True, restarts=2),)),
         ("2/2", "Running", "3 (10d ago)")),
        (pod(READY, init=(status(waits("CrashLoopBackOff"), "side", restarts=2),), true=("Initialized",)),
         ("1/2", "Init:CrashLoopBackOff", "2 (10d ago)")),
        (pod(status(DONE), init=(status(DONE, "side"),), phase="Succeeded"), ("0/2", "Completed", "0")),
    ],
)  # fmt: skip
def test_a_pod_in_a_table(shown: v1.Pod, row: tuple[str, str, str]) -> None:
    assert (pod_columns.ready(shown), pod_columns.status(shown), pod_columns.restarts(shown)) == row
