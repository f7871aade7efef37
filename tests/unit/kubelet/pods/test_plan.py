"""``plan`` as a table: what to do next for a pod, given its containers."""

from typing import Any

import pytest

from kubelet.pods.plan import Health, Plan, is_finished, plan
from kubelet.probes import Failure
from kubelet.runtime import ContainerRecord
from tests.unit.kubelet.records import make_pod, record, sandbox


def step(
    records: list[ContainerRecord], back_off: float = 0.0, restarts: dict[str, int] | None = None, **spec: Any
) -> Plan:
    return plan(make_pod(**spec), records, lambda ended: back_off, restarts or {})


def starts(changes: Plan) -> list[tuple[str, int]]:
    return [(start.container.name, start.attempt) for start in changes.start]


def test_a_new_pod_gets_a_sandbox_and_its_containers_in_it() -> None:
    changes = step([])
    assert changes.create_sandbox == 0
    assert changes.sandbox is None
    assert starts(changes) == [("main", 0)]


def test_in_a_new_sandbox_a_container_does_not_wait_for_its_back_off() -> None:
    changes = step([sandbox(state="exited"), record(state="exited")], back_off=99.0)
    assert changes.create_sandbox == 1
    assert starts(changes) == [("main", 1)]
    assert not changes.back_off


def test_its_containers_start_once_the_sandbox_runs() -> None:
    changes = plan(make_pod("a", "b"), [sandbox()], lambda ended: 0.0, {})
    assert starts(changes) == [("a", 0), ("b", 0)]


def test_a_container_does_not_start_while_the_hook_of_one_before_it_runs() -> None:
    pod = make_pod("a", "b", "c")
    running = [sandbox(), record("b"), record("c")]
    starting = Health(starting={"b-0"}, not_started={"b-0"})
    assert starts(plan(pod, running[:2], lambda ended: 0.0, {}, starting)) == [("a", 0)]
    assert starts(plan(pod, running[:2], lambda ended: 0.0, {})) == [("a", 0), ("c", 0)]
    failing = Health(starting={"b-0"}, failures={"c-0": Failure("Container c failed liveness probe")})
    assert [stop.record.name for stop in plan(pod, running, lambda ended: 0.0, {}, failing).stop] == ["c"]


def test_a_running_pod_is_left_alone() -> None:
    assert step([sandbox(), record()]).is_steady


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Always", 0, [("main", 1)]),
        ("Always", 1, [("main", 1)]),
        ("OnFailure", 1, [("main", 1)]),
        ("OnFailure", 0, []),
        ("Never", 1, []),
    ],
)
def test_restart_policy(policy: str, code: int, expected: list[tuple[str, int]]) -> None:
    changes = step([sandbox(), record(state="exited", exit_code=code)], restart_policy=policy)
    assert starts(changes) == expected


def test_a_container_in_back_off_waits() -> None:
    changes = step([sandbox(), record(state="exited")], back_off=7.0)
    assert changes.start == ()
    assert changes.back_off == {"main": 7.0}


def test_a_lost_sandbox_stops_its_containers_then_comes_again_with_all_of_them() -> None:
    lost = sandbox(state="exited")
    changes = step([lost, record()])
    assert [stop.record.name for stop in changes.stop] == ["main"]
    assert changes.create_sandbox is None
    changes = step([lost, record(state="exited")])
    assert changes.create_sandbox == 1
    changes = step([lost, sandbox(1), record(state="exited")], back_off=99.0)
    assert starts(changes) == [("main", 1)]
    assert changes.remove == (lost,)


def test_a_sandbox_that_never_ran_does_not_count() -> None:
    assert step([sandbox(state="created")]).create_sandbox == 0
    assert step([sandbox(state="exited"), sandbox(1, state="created")]).create_sandbox == 1


def test_a_container_in_an_older_sandbox_is_stopped() -> None:
    changes = step([sandbox(1), record(sandbox_id="POD-0")])
    assert [stop.record.name for stop in changes.stop] == ["main"]


def test_another_image_restarts_the_container() -> None:
    changes = step([sandbox(), record(spec_hash="old")])
    assert [stop.record.name for stop in changes.stop] == ["main"]
    assert "definition changed" in changes.stop[0].message


def test_what_was_left_between_create_and_start_is_made_again_as_the_same_attempt() -> None:
    assert starts(step([sandbox(), record(attempt=2, state="created")])) == [("main", 2)]


def test_what_the_engine_could_not_start_counts_as_ended() -> None:
    failed = record(state="created", error="no such file")
    assert starts(step([sandbox(), failed])) == [("main", 1)]
    assert step([sandbox(), failed], restart_policy="Never").start == ()


def test_a_finished_pod_s_sandbox_is_stopped_and_never_made_again() -> None:
    done = record(state="exited")
    changes = step([sandbox(), done], restart_policy="Never")
    assert [stop.record.name for stop in changes.stop] == ["POD"]
    assert step([sandbox(state="exited"), done], restart_policy="Never").is_steady


def test_a_pod_that_the_api_calls_finished_stays_so_without_its_containers() -> None:
    pod = make_pod()
    pod.status.phase = "Succeeded"
    assert is_finished(pod, {})
    assert plan(pod, [], lambda ended: 0.0, {}).is_steady


def test_restart_counts_go_on_where_the_api_saw_them() -> None:
    assert starts(step([sandbox()], restarts={"main": 4})) == [("main", 5)]


def test_two_dead_containers_of_a_name_are_kept() -> None:
    dead = [record(attempt=n, state="exited") for n in range(4)]
    changes = step([sandbox(), *dead], back_off=1.0)
    assert sorted(record.attempt for record in changes.remove) == [0, 1]
    assert starts(step([sandbox(), *dead[:2], record(attempt=2)])) == []
