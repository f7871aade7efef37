"""Thresholds, the order of evictions, and what is left for pods to request."""

from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kubelet.node.machine import Machine
from kubelet.node.pressures import NodePressures
from kubelet.node.status import Identity, allocatable, node_status
from kubelet.resources import eviction, usage
from kubelet.resources.container_gc import expendable
from kubelet.resources.pod_disk import DiskUsage, of_tree
from kubelet.resources.thresholds import Level, Threshold, parse_threshold, shortages
from tests.unit.kubelet.records import make_pod, record, sandbox

MI = 1024 * 1024


def parse(*texts: str) -> tuple[Threshold, ...]:
    return tuple(map(parse_threshold, texts))


def test_thresholds_as_amounts_and_percents() -> None:
    thresholds = parse("memory.available<100Mi", "nodefs.available<10%")
    assert thresholds == (Threshold("memory.available", 100 * MI), Threshold("nodefs.available", percent=10))
    assert parse(*map(str, thresholds)) == thresholds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory.available", "signal<quantity"),
        ("moon.available<1", 'unknown signal "moon.available"'),
        ("nodefs.available<101%", "between 0% and 100%"),
        ("nodefs.available<ten%", "not a percentage"),
        ("memory.available<x", "a quantity is"),
        ("memory.available<-1", "negative"),
    ],
)
def test_texts_that_are_no_threshold(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_threshold(text)


def test_shortages_memory_first() -> None:
    thresholds = parse("nodefs.available<10%", "memory.available<100Mi")
    levels = {"memory.available": Level(1000 * MI, 99 * MI), "nodefs.available": Level(1000, 99)}
    scarce = shortages(thresholds, levels)
    assert [shortage.threshold.signal for shortage in scarce] == ["memory.available", "nodefs.available"]
    assert scarce[0].message.startswith("The node was low on resource: memory. Threshold quantity: 104857600, ")
    assert shortages(thresholds, {"memory.available": Level(1000 * MI, 100 * MI)}) == []


def test_a_pressure_stays_a_while_and_its_changes_are_reported() -> None:
    now, changes = [0.0], []
    pressures = NodePressures(transition=60, clock=lambda: now[0])
    pressures.on_change(lambda: changes.append(pressures.current))
    pressures.observe(["MemoryPressure"])
    now[0] = 59
    pressures.observe([])
    assert pressures.current == {"MemoryPressure"}
    now[0] = 60
    pressures.observe([])
    assert changes == [{"MemoryPressure"}, frozenset()]


def using(used: int, request: str = "0", priority: int = 0) -> tuple[core_v1.Pod, int]:
    pod = make_pod(priority=priority)
    pod.spec.containers[0].resources.requests = {"memory": request, "ephemeral-storage": request}
    return pod, used


@pytest.mark.parametrize("signal", ["memory.available", "nodefs.available", "imagefs.available"])
def test_who_goes_first(signal: str) -> None:
    within = using(100 * MI, "200Mi")
    far, near = using(300 * MI, "100Mi"), using(150 * MI, "100Mi")
    dear = using(900 * MI, "100Mi", priority=5)
    ranked = sorted([within, dear, near, far], key=lambda candidate: eviction.rank(*candidate, signal))
    assert ranked == [far, near, dear, within]


def test_who_has_most_processes_goes_first_among_equals() -> None:
    many, few, dear = using(500, "1Gi"), using(3, "1Gi"), using(900, "1Gi", priority=1)
    ranked = sorted([dear, few, many], key=lambda candidate: eviction.rank(*candidate, "pid.available"))
    assert ranked == [many, few, dear]


def test_processes_left(tmp_path: Path) -> None:
    for name, text in {"sys/kernel/pid_max": "4000\n", "sys/kernel/threads-max": "3000\n",
                       "loadavg": "0.1 0.2 0.3 2/345 678\n", "9/cgroup": "0::/x\n"}.items():  # fmt: skip
        tmp_path.joinpath("proc", name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath("proc", name).write_text(text)
    tmp_path.joinpath("cgroup/x").mkdir(parents=True)
    tmp_path.joinpath("cgroup/x/pids.current").write_text("12\n")
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    assert usage.machine_processes(proc) == (3000, 2655)
    assert usage.processes(9, proc, groups) == 12
    assert usage.processes(10, proc, groups) == 0


def test_dead_containers_that_may_go_under_disk_pressure() -> None:
    living = [record("a", 0, "exited"), record("a", 1, "exited"), record("b", 0, "exited"), record("b", 1), sandbox()]
    finished = [record("a", 0, "exited", id="f", pod_uid="gone")]
    names = [(record.pod_uid, record.name, record.attempt) for record in expendable([*living, *finished], {"u"})]
    assert names == [("u", "a", 0), ("u", "b", 0), ("gone", "a", 0)]


def test_what_a_tree_takes_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to("/proc")
    (tmp_path / "twin").hardlink_to(tmp_path / "d/f")
    used = of_tree(tmp_path)
    assert used.inodes == 3
    assert 10_000 <= used.bytes < 40_000
    assert of_tree(tmp_path / "nowhere") == DiskUsage()


def test_reserves_and_pressure_show_in_the_node() -> None:
    machine = Machine(4, 8192 * MI, 1024 * MI, "amd64", "k", "o", "m", "s", "b")
    reserved = ({"cpu": 500, "memory": 1024 * MI}, {"memory": 100 * MI})
    identity = Identity("n", "n", 10250, 110, machine, reserved=reserved)
    assert allocatable(identity)["cpu"] == "3500m"
    assert allocatable(identity)["memory"] == f"{(8192 - 1024 - 100) * 1024}Ki"
    assert allocatable(identity)["pods"] == "110"
    status = node_status(
        identity, "10.0.0.1", core_v1.NodeStatus(), [], "1", "2026-01-01T00:00:00Z", {"MemoryPressure"}
    )
    assert [condition.status for condition in status.conditions or ()] == ["True", "False", "False", "True"]
    assert (status.capacity or {})["cpu"] == "4"


def test_usage_of_a_container_by_either_version_of_control_groups(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    files = {
        proc / "1/cgroup": "11:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n0::/x\n",
        groups / "memory/docker/a/memory.stat": "cache 5\ntotal_inactive_file 30\ntotal_rss 40\n",
        groups / "memory/docker/a/memory.usage_in_bytes": "100\n",
        groups / "cpuacct/docker/a/cpuacct.usage": "7000\n",
        proc / "2/cgroup": "0::/docker/b\n",
        groups / "docker/b/memory.stat": "anon 40\ninactive_file 30\n",
        groups / "docker/b/memory.current": "100\n",
        groups / "docker/b/cpu.stat": "usage_usec 7\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    expected = usage.Usage(cpu=7000, memory=100, working_set=70, rss=40)
    assert usage.container_usage(1, proc, groups) == expected
    assert usage.container_usage(2, proc, groups) == expected
    assert usage.container_usage(3, proc, groups) is None
