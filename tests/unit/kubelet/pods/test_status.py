"""Pod statuses from containers, as Kubernetes reports them."""

from typing import Any

import pytest

from apimachinery import codec, meta
from apimachinery.types import core_v1
from kubelet.containers.waiting import Waiting
from kubelet.pods.status import PodState, pod_status
from kubelet.pods.status_manager import status_patch
from kubelet.runtime import ContainerRecord
from tests.unit.kubelet.records import make_pod, record, sandbox

NOW = "2026-01-01T00:01:00Z"


def status(records: list[ContainerRecord], pod: core_v1.Pod | None = None, **state: Any) -> core_v1.PodStatus:
    pod = pod or make_pod()
    return pod_status(pod, pod.status, PodState(records, ("192.168.0.1",), NOW, **state))


def condition(reported: core_v1.PodStatus, type: str) -> core_v1.PodCondition:
    return next(condition for condition in reported.conditions or () if condition.type == type)


def state_of(reported: core_v1.PodStatus, index: int = 0) -> core_v1.ContainerState:
    return (reported.container_statuses or [])[index].state


def test_before_anything_runs() -> None:
    reported = status([])
    assert reported.phase == "Pending"
    waiting = state_of(reported).waiting
    assert waiting is not None
    assert waiting.reason == "ContainerCreating"
    ready = condition(reported, "Ready")
    assert (ready.status, ready.reason) == ("False", "ContainersNotReady")
    assert ready.message == "containers with unready status: [main]"
    assert reported.start_time == NOW


def test_running() -> None:
    reported = status([sandbox(), record()])
    assert reported.phase == "Running"
    assert reported.pod_ip == "10.1.0.5"
    assert reported.host_ip == "192.168.0.1"
    container = (reported.container_statuses or [])[0]
    assert container.ready
    assert container.image_id == "docker://sha256:1"
    assert container.state.running == core_v1.ContainerStateRunning(started_at="2026-01-01T00:00:01Z")
    assert all(condition.status == "True" for condition in reported.conditions or ())


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", [0, 1], "Running"),
        ("OnFailure", [0, 0], "Succeeded"),
        ("OnFailure", [0, 1], "Running"),
        ("Never", [0, 0], "Succeeded"),
        ("Never", [0, 1], "Failed"),
    ],
)
def test_phase_when_all_have_ended(policy: str, codes: list[int], phase: str) -> None:
    pod = make_pod("a", "b", restart_policy=policy)
    ended = [record(name, state="exited", exit_code=code) for name, code in zip("ab", codes, strict=True)]
    assert status([sandbox(), *ended], pod).phase == phase


def test_one_that_never_ran_keeps_the_pod_pending() -> None:
    assert status([sandbox(), record("a")], make_pod("a", "b")).phase == "Pending"


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"exit_code": 0}, 0, "Completed"),
        ({"exit_code": 3}, 3, "Error"),
        ({"exit_code": 137, "oom_killed": True}, 137, "OOMKilled"),
        ({"exit_code": 127, "started_at": None, "error": "no such file"}, 127, "ContainerCannotRun"),
    ],
)
def test_why_a_container_ended(fields: dict[str, Any], code: int, reason: str) -> None:
    reported = status([sandbox(), record(state="exited", **fields)], make_pod(restart_policy="Never"))
    ended = state_of(reported).terminated
    assert ended is not None
    assert (ended.exit_code, ended.reason) == (code, reason)


def test_a_container_in_back_off_waits_and_shows_its_end_as_last_state() -> None:
    ended = record(attempt=2, state="exited", exit_code=1)
    reported = status([sandbox(), ended], waiting={"main": Waiting("CrashLoopBackOff", "back-off 10s")})
    container = (reported.container_statuses or [])[0]
    assert container.state.waiting == core_v1.ContainerStateWaiting(reason="CrashLoopBackOff", message="back-off 10s")
    assert container.last_state.terminated is not None
    assert container.restart_count == 2
    assert reported.phase == "Running"


def with_init(**spec: Any) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.init_containers = [core_v1.Container(name="init", image="app:1")]
    return pod


def test_a_pod_that_lost_its_sandbox_is_pending_until_it_is_initialized_again() -> None:
    pod = with_init()
    init, main = record("init", state="exited"), record(state="exited", exit_code=137)
    pod.status = status([sandbox(), init, record()], pod)
    assert (pod.status.phase, condition(pod.status, "Initialized").status) == ("Running", "True")
    again = record("init", attempt=1, sandbox_id="POD-1")
    for records in ([sandbox(state="exited"), init, main], [sandbox(1), init, main], [sandbox(1), init, again, main]):
        pod.status = status(records, pod)
        assert pod.status.phase == "Pending"
        assert condition(pod.status, "Initialized").status == "False"
        container = (pod.status.container_statuses or [])[0]
        assert container.state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
        assert container.last_state.terminated is not None
    done = record("init", attempt=1, state="exited", sandbox_id="POD-1")
    pod.status = status([sandbox(1), done, record(attempt=1, sandbox_id="POD-1")], pod)
    assert (pod.status.phase, condition(pod.status, "Initialized").status) == ("Running", "True")


def test_the_api_sees_no_init_container_leave_its_last_end() -> None:
    """It refuses such a status, unless the pod's containers are always started again."""
    pod = with_init(restart_policy="OnFailure")
    init, main = record("init", state="exited"), record(state="exited", exit_code=137)
    pod.status = status([sandbox(), init, record()], pod)
    again = record("init", attempt=1, sandbox_id="POD-1")
    for records in ([sandbox(1), init, main], [sandbox(1), init, again, main]):
        pod.status = status(records, pod)
        (reported,) = pod.status.init_container_statuses or ()
        assert reported.state.terminated is not None
        assert not reported.ready
        assert (pod.status.phase, condition(pod.status, "Initialized").status) == ("Pending", "False")
    failed = record("init", attempt=1, state="exited", exit_code=1, sandbox_id="POD-1")
    pod.status = status([sandbox(1), init, failed, main], pod, waiting={"init": Waiting("CrashLoopBackOff")})
    third = record("init", attempt=2, sandbox_id="POD-1")
    pod.status = status([sandbox(1), failed, third, main], pod)
    (reported,) = pod.status.init_container_statuses or ()
    assert reported.state.terminated is not None


def test_an_init_container_that_was_removed_stays_done_while_its_pod_runs() -> None:
    pod = with_init()
    pod.status = status([sandbox(), record("init", state="exited"), record()], pod)
    pod.status = status([sandbox(), record()], pod)
    (init,) = pod.status.init_container_statuses or ()
    assert init.state.terminated is not None
    assert init.ready
    assert condition(pod.status, "Initialized").status == "True"


def test_a_finished_pod_keeps_its_ends_though_its_sandbox_is_gone() -> None:
    pod = with_init(restart_policy="Never")
    ends = [record("init", state="exited"), record(state="exited", exit_code=3)]
    reported = status([sandbox(state="exited"), *ends], pod)
    assert reported.phase == "Failed"
    assert state_of(reported).terminated is not None
    assert (reported.init_container_statuses or [])[0].ready


def test_a_restarted_container_shows_the_one_before() -> None:
    reported = status([sandbox(), record(attempt=0, state="exited", exit_code=1), record(attempt=1)])
    container = (reported.container_statuses or [])[0]
    assert container.state.running is not None
    assert container.last_state.terminated is not None
    assert container.last_state.terminated.exit_code == 1


def test_conditions_keep_their_time_and_those_of_others_are_kept() -> None:
    pod = make_pod()
    pod.status = status([sandbox(), record()], pod)
    of_others = core_v1.PodCondition(type="x.io/g", status="True", last_transition_time="2025-01-01T00:00:00Z")
    pod.status.conditions = [*(pod.status.conditions or ()), of_others]
    later = pod_status(pod, pod.status, PodState([sandbox(), record()], ("192.168.0.1",), "2026-02-02T00:00:00Z"))
    assert later == pod.status
    ended = [sandbox(), record(state="exited")]
    later = pod_status(pod, pod.status, PodState(ended, ("192.168.0.1",), "2026-02-02T00:00:00Z"))
    assert condition(later, "Ready").last_transition_time == "2026-02-02T00:00:00Z"
    assert condition(later, "Initialized").last_transition_time == NOW
    assert condition(later, "x.io/g") == of_others
    assert condition(later, "PodScheduled").status == "True"


def test_a_finished_pod_keeps_phase_and_address() -> None:
    pod = make_pod(restart_policy="Never")
    pod.status = status([sandbox(), record()], pod)
    pod.status = status([sandbox(), record(state="exited")], pod)
    assert pod.status.phase == "Succeeded"
    later = status([], pod)
    assert later.phase == "Succeeded"
    assert later.pod_ip == "10.1.0.5"
    assert state_of(later).terminated is not None


def test_a_deleted_pod_ends_in_a_final_phase() -> None:
    pod = make_pod()
    pod.metadata.deletion_timestamp = NOW
    assert status([sandbox(), record(state="exited", exit_code=137)], pod).phase == "Failed"
    held = {"main": Waiting("CrashLoopBackOff")}
    reported = status([sandbox(), record(state="exited", exit_code=0)], pod, waiting=held)
    assert reported.phase == "Succeeded"
    assert state_of(reported).terminated is not None


def test_readiness_gates_are_waited_for() -> None:
    pod = make_pod(readiness_gates=[core_v1.PodReadinessGate(condition_type="x.io/g")])
    reported = status([sandbox(), record()], pod)
    assert condition(reported, "Ready").reason == "ReadinessGatesNotReady"
    assert condition(reported, "ContainersReady").status == "True"
    pod.status.conditions = [core_v1.PodCondition(type="x.io/g", status="True")]
    assert condition(status([sandbox(), record()], pod), "Ready").status == "True"


def test_a_patch_says_what_changed_and_nothing_else() -> None:
    before = status([sandbox()])
    after = pod_status(make_pod(), before, PodState([sandbox(), record()], ("192.168.0.1",), NOW))
    patch = status_patch(before, after)
    assert set(patch) == {"phase", "conditions", "containerStatuses"}
    assert {condition["type"] for condition in patch["conditions"]} == {"Ready", "ContainersReady"}
    assert all(condition["reason"] is None and condition["message"] is None for condition in patch["conditions"])
    assert status_patch(after, after) == {}


def test_a_patch_leaves_the_conditions_of_others_out_and_replaces_addresses() -> None:
    before = status([sandbox(), record()])
    after = codec.copy(before)
    after.conditions = [*(after.conditions or ()), core_v1.PodCondition(type="x.io/g", status="True")]
    after.pod_ips = [core_v1.PodIP(ip="10.1.0.9")]
    assert status_patch(before, after) == {"podIPs": [{"ip": "10.1.0.9"}, {"$patch": "replace"}]}
    assert meta.parse_time(NOW)
