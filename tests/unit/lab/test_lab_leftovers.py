"""What is recognised as the lab's own in the kernel's tables, which are given as text."""

import os
from pathlib import Path

from deploy.lab import engine, leftovers
from deploy.lab.lab import Lab, Settings
from deploy.lab.namespaces import parse_listening

LAB = Lab("default", Settings(0, 2), Path("/src"))


def test_mounts_below_the_labs_folders_come_innermost_first() -> None:
    mountinfo = [
        "22 1 254:0 / / rw - ext4 /dev/vda rw",
        "90 22 0:60 / /src/.peapod/nodes/node-1/docker/overlay2/a/merged rw - overlay overlay rw",
        "91 90 0:61 / /src/.peapod/nodes/node-1/docker/overlay2/a/merged/in\\040side rw - tmpfs tmpfs rw",
        os.fsdecode(b"93 22 0:63 /caf\xe9 /elsewhere rw - ext4 /dev/vda rw"),
        "92 22 0:62 / /src/.peapod/nodes/node-10/docker/overlay2/b/merged rw - overlay overlay rw",
    ]
    inside = Path("/src/.peapod/nodes/node-1/docker/overlay2/a/merged")
    assert engine.mounts_below(mountinfo, [LAB.node_state("node-1")]) == [inside / "in side", inside]


def test_shims_are_found_by_their_own_containerd_alone() -> None:
    def command_lines() -> dict[int, list[str]]:
        shim = "/usr/bin/containerd-shim-runc-v2"
        return {
            1: ["/sbin/init"],
            20: [shim, "-namespace", "moby", "-id", "a", "-address", "/run/peapod/default/node-1/containerd.sock"],
            21: [shim, "-namespace", "moby", "-id", "b", "-address", "/run/peapod/default/node-2/containerd.sock"],
            22: [shim, "-namespace", "moby", "-id", "c", "-address", "/run/peapod/x/node-1/containerd.sock"],
            23: [shim, "-namespace", "moby", "-id", "d", "-address", "/run/containerd/containerd.sock"],
            24: ["/usr/bin/vi", "/run/peapod/default/node-1/containerd.sock"],
        }

    assert engine.shims(LAB, "node-1", command_lines) == [20]


def test_descendants_are_found_at_any_depth() -> None:
    assert leftovers.with_descendants([20], {20: 1, 31: 20, 30: 31, 40: 1, 41: 40}) == {20, 30, 31}


def test_processes_of_containers_are_found_without_their_shims(tmp_path: Path) -> None:
    """In the hierarchies of version 1, and in that of version 2."""
    for folder, pids in (
        ("memory/peapod/default/node-1/a", "30\n31\n"),
        ("pids/peapod/default/node-1/a", "30\n31\n"),
        ("pids/peapod/default/node-1/b/inner", "32\n0\n"),
        ("peapod/default/node-1/c", "33\n"),
        ("pids/peapod/default/node-2/d", "40\n"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cgroup.procs").write_text(pids)
    assert engine.processes_in_cgroup(engine.cgroup_of(LAB, "node-1"), tmp_path) == {30, 31, 32, 33}


def test_listening_ports_are_read_from_the_kernels_table() -> None:
    lines = [
        "   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0 0 1 1 0",
        "   1: 0100007F:A0D2 0100007F:094B 01 00000000:00000000 00:00000000 00000000     0 0 1 1 0",
        "   2: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0",
    ]
    assert parse_listening(lines) == {2379, 6443}
