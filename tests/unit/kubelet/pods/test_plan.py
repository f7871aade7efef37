"""``plan`` as a table: what to do next for a pod, given its containers."""

from typing import Any

import pytest

from kubelet.pods.plan import Plan, Wait, is_finished, plan
from kubelet.runtime import ContainerRecord
from tests.unit.kubelet.records import make_pod, record, sandbox


def step(
    records: list[ContainerRecord], backoff: float = 0.0, restarts: dict[str, int] | None = None, **spec: Any
) -> Plan:
    return plan(make_pod(**spec), records, lambda ended: backoff, restarts or {})


def starts(found: Plan) -> list[tuple[str, int]]:
    return [(one.container.name, one.attempt) for one in found.start]


def test_a_new_pod_gets_a_sandbox_first() -> None:
    found = step([])
    assert found.create_sandbox == 0
    assert not found.start


def test_its_containers_start_once_the_sandbox_runs() -> None:
    found = plan(make_pod("a", "b"), [sandbox()], lambda ended: 0.0, {})
    assert starts(found) == [("a", 0), ("b", 0)]


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
    found = step([sandbox(), record(state="exited", exit_code=code)], restart_policy=policy)
    assert starts(found) == expected


def test_a_container_in_back_off_waits() -> None:
    found = step([sandbox(), record(state="exited")], backoff=7.0)
    assert found.start == ()
    assert found.waiting == {"main": Wait(7.0)}


def test_a_lost_sandbox_stops_its_containers_then_comes_again_with_all_of_them() -> None:
    lost = sandbox(state="exited")
    found = step([lost, record()])
    assert [one.record.name for one in found.stop] == ["main"]
    assert found.create_sandbox is None
    found = step([lost, record(state="exited")])
    assert found.create_sandbox == 1
    found = step([lost, sandbox(1), record(state="exited")], backoff=99.0)
    assert starts(found) == [("main", 1)]
    assert found.remove == (lost,)


def test_a_sandbox_that_never_ran_does_not_count() -> None:
    assert step([sandbox(state="created")]).create_sandbox == 0
    assert step([sandbox(state="exited"), sandbox(1, state="created")]).create_sandbox == 1


def test_a_container_in_an_older_sandbox_is_stopped() -> None:
    found = step([sandbox(1), record(sandbox_id="POD-0")])
    assert [one.record.name for one in found.stop] == ["main"]


def test_another_image_restarts_the_container() -> None:
    found = step([sandbox(), record(spec_hash="old")])
    assert [one.record.name for one in found.stop] == ["main"]
    assert "definition changed" in found.stop[0].message


def test_what_was_left_between_create_and_start_is_made_again_as_the_same_attempt() -> None:
    assert starts(step([sandbox(), record(attempt=2, state="created")])) == [("main", 2)]


def test_what_the_engine_could_not_start_counts_as_ended() -> None:
    failed = record(state="created", error="no such file")
    assert starts(step([sandbox(), failed])) == [("main", 1)]
    assert step([sandbox(), failed], restart_policy="Never").start == ()


def test_a_finished_pod_s_sandbox_is_stopped_and_never_made_again() -> None:
    done = record(state="exited")
    found = step([sandbox(), done], restart_policy="Never")
    assert [one.record.name for one in found.stop] == ["POD"]
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
    found = step([sandbox(), *dead], backoff=1.0)
    assert sorted(one.attempt for one in found.remove) == [0, 1]
    assert starts(step([sandbox(), *dead[:2], record(attempt=2)])) == []
