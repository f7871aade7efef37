"""Init containers, sidecars and ephemeral containers in plans and statuses."""

from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.pods.plan import Health, Plan, is_finished, latest_records, plan, wind_up
from kubelet.pods.status import End, Observed, pod_status
from kubelet.runtime import ContainerRecord
from tests.unit.kubelet.records import IMAGE, make_pod, record, sandbox

NOW = "2026-01-01T00:01:00Z"


def pod_with(*init: str, sidecar: str = "", **spec: Any) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.init_containers = [
        core_v1.Container(name=name, image=IMAGE, restart_policy="Always" if name == sidecar else None) for name in init
    ]
    return pod


def step(pod: core_v1.Pod, *records: ContainerRecord, **health: Any) -> Plan:
    return plan(pod, records, lambda ended: 0.0, {}, Health(**health))


def starts(found: Plan) -> list[tuple[str, int]]:
    return [(one.container.name, one.attempt) for one in found.start]


def done(name: str, code: int = 0, **fields: Any) -> ContainerRecord:
    return record(name, state="exited", exit_code=code, **fields)


def status(pod: core_v1.Pod, *records: ContainerRecord, **seen: Any) -> core_v1.PodStatus:
    return pod_status(pod, pod.status, Observed(records, ("192.168.0.1",), NOW, **seen))


def test_init_containers_run_one_after_the_other() -> None:
    pod = pod_with("a", "b")
    assert starts(step(pod, sandbox())) == [("a", 0)]
    assert step(pod, sandbox(), record("a")).is_steady
    assert starts(step(pod, sandbox(), done("a"))) == [("b", 0)]
    assert starts(step(pod, sandbox(), done("a"), done("b"))) == [("main", 0)]


def test_a_failed_init_container_is_tried_again_unless_the_pod_never_restarts() -> None:
    assert starts(step(pod_with("a"), sandbox(), done("a", 1))) == [("a", 1)]
    never = pod_with("a", restart_policy="Never")
    found = step(never, sandbox(), done("a", 1))
    assert not found.start
    assert [one.record.name for one in found.stop] == ["POD"]
    assert status(never, sandbox(), done("a", 1)).phase == "Failed"


def test_init_containers_are_not_looked_at_once_the_others_run() -> None:
    assert step(pod_with("a"), sandbox(), record()).is_steady
    assert starts(step(pod_with("a"), sandbox(), done("main"))) == [("main", 1)]


def test_a_new_sandbox_runs_the_init_containers_again() -> None:
    old = done("a"), done("main")
    found = step(pod_with("a"), sandbox(1), *old)
    assert starts(found) == [("a", 1)]
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
        return [one.record.name for one in wind_up(pod, here)]

    order = []
    while here:
        order.append(names())
        here = [one for one in here if one.name not in order[-1]]
    assert order == [["main"], ["two"], ["one"], ["POD"]]
    ended = [sandbox(), record("one"), record("two"), done("main")]
    assert is_finished(pod, latest_records(ended))
    assert status(pod, *ended).phase == "Running"
    assert status(pod, sandbox(), done("one", 137), done("two", 137), done("main")).phase == "Succeeded"


@pytest.mark.parametrize(("over", "fails"), [({}, {"main-0": "unwell"}), ({"over": "too late"}, {})])
def test_an_unhealthy_container_and_an_ended_pod_are_stopped(over: dict[str, str], fails: dict[str, str]) -> None:
    found = step(make_pod(), sandbox(), record(), failed=fails, **over)
    assert [(one.record.name, one.message) for one in found.stop] == [("main", "unwell" if fails else "too late")]


def test_an_ephemeral_container_is_started_once_and_never_again() -> None:
    pod = make_pod()
    pod.spec.ephemeral_containers = [core_v1.EphemeralContainer(name="debug", image=IMAGE)]
    assert starts(step(pod, sandbox(), record())) == [("debug", 0)]
    assert step(pod, sandbox(), record(), done("debug", 1)).is_steady
    assert plan(pod, [sandbox(), record()], lambda ended: 0.0, {"debug": 0}).is_steady
    found = status(pod, sandbox(), record(), record("debug"))
    assert [one.name for one in found.ephemeral_container_statuses or ()] == ["debug"]


def test_status_while_initializing() -> None:
    pod = pod_with("a", "b")
    found = status(pod, sandbox(), done("a"), record("b"))
    assert found.phase == "Pending"
    first, second = found.init_container_statuses or []
    assert (first.ready, second.ready) == (True, False)
    waiting = (found.container_statuses or [])[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "PodInitializing"
    initialized = next(one for one in found.conditions or () if one.type == "Initialized")
    assert (initialized.status, initialized.reason) == ("False", "ContainersNotInitialized")
    assert initialized.message == "containers with incomplete status: [b]"


def test_probes_decide_about_ready_and_started() -> None:
    found = status(make_pod(), sandbox(), record(), unready={"main-0"})
    main = (found.container_statuses or [])[0]
    assert (main.ready, main.started) == (False, True)
    found = status(make_pod(), sandbox(), record(), not_started={"main-0"})
    main = (found.container_statuses or [])[0]
    assert (main.ready, main.started) == (False, False)


def test_a_pod_that_must_end_fails_once_its_containers_have_ended() -> None:
    end = End("DeadlineExceeded", "too long")
    found = status(make_pod(), sandbox(), record(), end=end)
    assert (found.phase, found.reason) == ("Running", "DeadlineExceeded")
    assert status(make_pod(), sandbox(), done("main"), end=end).phase == "Failed"
