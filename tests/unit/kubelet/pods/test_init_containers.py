"""Init containers, sidecars and ephemeral containers in plans and statuses."""

from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.pods.plan import Health, Plan, is_finished, next_to_stop, plan
from kubelet.pods.status import PodFailure, PodState, pod_status
from kubelet.probes import Failure
from kubelet.runtime import ContainerRecord
from kubelet.runtime.records import latest_records
from tests.unit.kubelet.records import IMAGE, make_pod, record, sandbox

NOW = "2026-01-01T00:01:00Z"


def pod_with(*init: str, sidecar: str = "", **spec: Any) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.init_containers = [
        core_v1.Container(name=name, image=IMAGE, restart_policy="Always" if name == sidecar else None) for name in init
    ]
    return pod


def step(pod: core_v1.Pod, *records: ContainerRecord, must_end: bool = False, **health: Any) -> Plan:
    return plan(pod, records, lambda ended: 0.0, {}, Health(**health), must_end)


def starts(changes: Plan) -> list[tuple[str, int]]:
    return [(start.container.name, start.attempt) for start in changes.start]


def done(name: str, code: int = 0, **fields: Any) -> ContainerRecord:
    return record(name, state="exited", exit_code=code, **fields)


def status(
    pod: core_v1.Pod, *records: ContainerRecord, failure: PodFailure | None = None, **health: Any
) -> core_v1.PodStatus:
    state = PodState(records, ("192.168.0.1",), NOW, health=Health(**health), failure=failure)
    return pod_status(pod, pod.status, state)


def test_init_containers_run_one_after_the_other() -> None:
    pod = pod_with("a", "b")
    assert starts(step(pod, sandbox())) == [("a", 0)]
    assert step(pod, sandbox(), record("a")).is_steady
    assert starts(step(pod, sandbox(), done("a"))) == [("b", 0)]
    assert starts(step(pod, sandbox(), done("a"), done("b"))) == [("main", 0)]


def test_a_failed_init_container_is_tried_again_unless_the_pod_never_restarts() -> None:
    assert starts(step(pod_with("a"), sandbox(), done("a", 1))) == [("a", 1)]
    never = pod_with("a", restart_policy="Never")
    changes = step(never, sandbox(), done("a", 1))
    assert not changes.start
    assert [stop.record.name for stop in changes.stop] == ["POD"]
    assert status(never, sandbox(), done("a", 1)).phase == "Failed"


def test_init_containers_are_not_looked_at_once_the_others_run() -> None:
    assert step(pod_with("a"), sandbox(), record()).is_steady
    assert starts(step(pod_with("a"), sandbox(), done("main"))) == [("main", 1)]


def test_a_new_sandbox_runs_the_init_containers_again() -> None:
    old = done("a"), done("main")
    changes = step(pod_with("a"), sandbox(1), *old)
    assert starts(changes) == [("a", 1)]
    again = record("a", 1, "exited", sandbox_id="POD-1")
    assert starts(step(pod_with("a"), sandbox(1), *old, again)) == [("main", 1)]


def test_a_sidecar_has_to_start_and_goes_on() -> None:
    pod = pod_with("helper", "setup", sidecar="helper")
    assert starts(step(pod, sandbox())) == [("helper", 0)]
    assert step(pod, sandbox(), record("helper"), not_started={"helper-0"}).is_steady
    assert starts(step(pod, sandbox(), record("helper"))) == [("setup", 0)]
    running = record("helper"), done("setup"), record()
    assert step(pod, sandbox(), *running).is_steady
    assert starts(step(pod, sandbox(), done("helper"), done("setup"), record())) == [("helper", 1)]


def test_sidecars_end_after_the_others_in_reverse_order() -> None:
    pod = pod_with("one", "two", restart_policy="Never")
    for container in pod.spec.init_containers or ():
        container.restart_policy = "Always"
    here = [sandbox(), record("one"), record("two"), record()]

    def names() -> list[str]:
        return [stop.record.name for stop in next_to_stop(pod, here)]

    order = []
    while here:
        order.append(names())
        here = [record for record in here if record.name not in order[-1]]
    assert order == [["main"], ["two"], ["one"], ["POD"]]
    ended = [sandbox(), record("one"), record("two"), done("main")]
    assert is_finished(pod, latest_records(ended))
    assert status(pod, *ended).phase == "Running"
    assert status(pod, sandbox(), done("one", 137), done("two", 137), done("main")).phase == "Succeeded"


@pytest.mark.parametrize(
    ("must_end", "failures", "expected"),
    [
        (False, {"main-0": Failure("unhealthy", grace_period=3)}, ("main", "unhealthy", 3)),
        (True, {}, ("main", "", None)),
        (True, {"main-0": Failure("unhealthy", grace_period=3)}, ("main", "", None)),
    ],
)
def test_an_unhealthy_container_and_a_failed_pod_are_stopped(
    must_end: bool, failures: dict[str, Failure], expected: tuple[str, str, int | None]
) -> None:
    changes = step(make_pod(), sandbox(), record(), must_end=must_end, failures=failures)
    assert [(stop.record.name, stop.message, stop.grace_period) for stop in changes.stop] == [expected]


def test_an_ephemeral_container_is_started_once_and_never_again() -> None:
    pod = make_pod()
    pod.spec.ephemeral_containers = [core_v1.EphemeralContainer(name="debug", image=IMAGE)]
    assert starts(step(pod, sandbox(), record())) == [("debug", 0)]
    assert step(pod, sandbox(), record(), done("debug", 1)).is_steady
    assert plan(pod, [sandbox(), record()], lambda ended: 0.0, {"debug": 0}).is_steady
    reported = status(pod, sandbox(), record(), record("debug"))
    assert [ephemeral.name for ephemeral in reported.ephemeral_container_statuses or ()] == ["debug"]


def test_status_while_initializing() -> None:
    pod = pod_with("a", "b")
    reported = status(pod, sandbox(), done("a"), record("b"))
    assert reported.phase == "Pending"
    first, second = reported.init_container_statuses or []
    assert (first.ready, second.ready) == (True, False)
    waiting = (reported.container_statuses or [])[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "PodInitializing"
    initialized = next(c for c in reported.conditions or () if c.type == "Initialized")
    assert (initialized.status, initialized.reason) == ("False", "ContainersNotInitialized")
    assert initialized.message == "containers with incomplete status: [b]"


def test_probes_decide_about_ready_and_started() -> None:
    reported = status(make_pod(), sandbox(), record(), unready={"main-0"})
    main = (reported.container_statuses or [])[0]
    assert (main.ready, main.started) == (False, True)
    reported = status(make_pod(), sandbox(), record(), not_started={"main-0"})
    main = (reported.container_statuses or [])[0]
    assert (main.ready, main.started) == (False, False)


def test_a_pod_that_must_end_fails_once_its_containers_have_ended() -> None:
    failure = PodFailure("DeadlineExceeded", "too long")
    reported = status(make_pod(), sandbox(), record(), failure=failure)
    assert (reported.phase, reported.reason, reported.message) == ("Running", None, None)
    reported = status(make_pod(), sandbox(), done("main"), failure=failure)
    assert (reported.phase, reported.reason, reported.message) == ("Failed", "DeadlineExceeded", "too long")
