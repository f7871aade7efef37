"""Remove what would outlive the lab: stray processes, mounts, cgroups, folders in /run.

Everything is found in the kernel's own tables by marks that only this lab's things carry: its network
namespaces, its containerd's address, paths below its folders, its cgroups.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.lab import engine, namespaces, processes
from deploy.lab.lab import Lab


def remove(lab: Lab, machines: Sequence[str]) -> None:
    """End and remove what is left of these machines; their daemons have been stopped before."""
    strays = set(namespaces.processes_in(lab.namespace(machine) for machine in machines))
    for machine in machines:
        strays.update(with_descendants(engine.shims(lab, machine, command_lines), parents()))
    strays.discard(os.getpid())
    processes.end([found for pid in sorted(strays) if (found := processes.process_of(pid))], seconds=2)
    for machine in machines:
        engine.unmount_below([lab.node_state(machine), lab.node_run(machine)])
        engine.remove_cgroups(engine.cgroup_of(lab, machine))


def remove_folders(lab: Lab) -> None:
    """Remove the lab's folder in /run, and with it the claim to its name; the lab is down then."""
    engine.remove_cgroups(f"/peapod/{lab.name}")
    _remove_if_empty("/peapod")
    if lab.run.exists():
        shutil.rmtree(lab.run)


def _remove_if_empty(cgroup: str) -> None:
    """Remove the cgroup above all labs unless another lab is in it."""
    root = Path("/sys/fs/cgroup")
    for base in [root, *(part for part in root.iterdir() if part.is_dir())]:
        try:
            (base / cgroup.lstrip("/")).rmdir()
        except OSError:  # not there, or not empty
            continue


def command_lines() -> dict[int, list[str]]:
    """The command line of every process."""
    found = {}
    for pid in namespaces.all_pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:  # ended in the meantime
            continue
        found[pid] = [os.fsdecode(word) for word in words if word]
    return found


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for pid in namespaces.all_pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:  # ended in the meantime
            continue
        found[pid] = int(stat.rpartition(")")[2].split()[1])
    return found


def with_descendants(roots: Sequence[int], parent_of: dict[int, int]) -> set[int]:
    """These processes and all that descend from them."""
    found = set(roots)
    while True:
        more = {pid for pid, parent in parent_of.items() if parent in found} - found
        if not more:
            return found
        found |= more
