"""Thresholds, who is evicted first, what a node under pressure refuses, and what pods may ask for."""

from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kubelet.node.machine import Machine
from kubelet.node.status import Identity, allocatable, node_status
from kubelet.resources import eviction, thresholds, usage
from kubelet.resources.container_gc import expendable
from kubelet.resources.pod_disk import DiskUsage, of_tree
from kubelet.resources.thresholds import Level, Threshold
from tests.unit.kubelet.records import make_pod, record, sandbox

MI = 1024 * 1024


def test_thresholds_as_amounts_and_percents() -> None:
    found = thresholds.parse(["memory.available<100Mi", "nodefs.available<10%"])
    assert found == (Threshold("memory.available", 100 * MI), Threshold("nodefs.available", percent=10))


@pytest.mark.parametrize(
    "wrong", ["memory.available", "moon.available<1", "nodefs.available<101%", "memory.available<x"]
)
def test_what_is_no_threshold(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"eviction threshold|whole|quantit|x"):
        thresholds.parse([wrong])


def test_shortages_memory_first() -> None:
    limits = thresholds.parse(["nodefs.available<10%", "memory.available<100Mi"])
    levels = {"memory.available": Level(1000 * MI, 99 * MI), "nodefs.available": Level(1000, 99)}
    found = thresholds.shortages(limits, levels)
    assert [one.threshold.signal for one in found] == ["memory.available", "nodefs.available"]
    assert found[0].message.startswith("The node was low on resource: memory. Threshold quantity: 104857600, ")
    assert thresholds.shortages(limits, {"memory.available": Level(1000 * MI, 100 * MI)}) == []


def using(used: int, request: str = "0", priority: int = 0) -> tuple[core_v1.Pod, int]:
    pod = make_pod(priority=priority)
    pod.spec.containers[0].resources.requests = {"memory": request, "ephemeral-storage": request}
    return pod, used


@pytest.mark.parametrize("signal", ["memory.available", "nodefs.available", "imagefs.available"])
def test_who_goes_first(signal: str) -> None:
    within = using(100 * MI, "200Mi")
    far, near = using(300 * MI, "100Mi"), using(150 * MI, "100Mi")
    dear = using(900 * MI, "100Mi", priority=5)
    ranked = sorted([within, dear, near, far], key=lambda one: eviction.rank(*one, signal))
    assert ranked == [far, near, dear, within]


def test_what_is_refused_under_pressure() -> None:
    memory, disk = frozenset({"MemoryPressure"}), frozenset({"DiskPressure"})
    assert eviction.refusal(make_pod(), memory, best_effort=True) is not None
    assert eviction.refusal(make_pod(), memory, best_effort=False) is None
    assert eviction.refusal(make_pod(), disk, best_effort=False) is not None
    assert eviction.refusal(make_pod(priority=eviction.CRITICAL), disk, best_effort=True) is None


def test_who_has_most_processes_goes_first_among_equals() -> None:
    many, few, dear = using(500, "1Gi"), using(3, "1Gi"), using(900, "1Gi", priority=1)
    ranked = sorted([dear, few, many], key=lambda one: eviction.rank(*one, "pid.available"))
    assert ranked == [many, few, dear]


@pytest.mark.parametrize(
    ("toleration", "taken"),
    [
        (core_v1.Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists"), True),
        (core_v1.Toleration(operator="Exists"), True),
        (core_v1.Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoExecute"), False),
        (core_v1.Toleration(key="other", operator="Exists"), False),
    ],
)
def test_who_tolerates_pressure_is_taken_all_the_same(toleration: core_v1.Toleration, taken: bool) -> None:
    pod = make_pod(tolerations=[toleration])
    assert (eviction.refusal(pod, frozenset({"MemoryPressure"}), best_effort=True) is None) == taken
    assert eviction.refusal(pod, frozenset({"MemoryPressure", "DiskPressure"}), best_effort=True) is not None


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
    names = [(one.pod_uid, one.name, one.attempt) for one in expendable([*living, *finished], {"u"})]
    assert names == [("u", "a", 0), ("u", "b", 0), ("gone", "a", 0)]


def test_what_a_tree_takes_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x" * 10_000)
    (tmp_path / "link").symlink_to("/proc")
    (tmp_path / "twin").hardlink_to(tmp_path / "d/f")
    found = of_tree(tmp_path)
    assert found.inodes == 3
    assert 10_000 <= found.bytes < 40_000
    assert of_tree(tmp_path / "nowhere") == DiskUsage()


def test_reserves_and_pressure_show_in_the_node() -> None:
    machine = Machine(4, 8192 * MI, 1024 * MI, "amd64", "k", "o", "m", "s", "b")
    reserved = ({"cpu": "500m", "memory": "1Gi"}, {"memory": 100 * MI})
    identity = Identity("n", "n", 10250, 110, machine, reserved=reserved)
    assert allocatable(identity)["cpu"] == "3500m"
    assert allocatable(identity)["memory"] == f"{(8192 - 1024 - 100) * 1024}Ki"
    assert allocatable(identity)["pods"] == "110"
    status = node_status(identity, "10.0.0.1", core_v1.NodeStatus(), [], "1", "2026-01-01T00:00:00Z", {"MemoryPressure"})
    assert [one.status for one in status.conditions or ()] == ["True", "False", "False", "True"]
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
