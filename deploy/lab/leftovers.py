"""Remove what would outlive the lab: stray processes, mounts, cgroups, folders in /run.

Everything is found in the kernel's tables by what only this lab has: its network namespaces, its containerd's address,
paths below its folders, its cgroups.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from deploy.lab import engine, namespaces, pids
from deploy.lab.execute import run
from deploy.lab.lab import Lab
from deploy.lab.pids import Process


def remove(lab: Lab, machines: Sequence[str]) -> None:
    """Remove what is left of these machines after their daemons have been stopped."""
    pids.end(strays(lab, machines), seconds=2)
    for machine in machines:
        engine.unmount_below([lab.node_state(machine), lab.node_run(machine)])
        engine.remove_cgroups(engine.cgroup_of(lab, machine))


def strays(lab: Lab, machines: Sequence[str]) -> list[Process]:
    """The processes in these machines' networks, and those of their containers."""
    numbers = set(namespaces.processes_in(lab.namespace(machine) for machine in machines))
    for machine in machines:
        numbers.update(with_descendants(engine.shims(lab, machine, command_lines), parents()))
        numbers.update(engine.processes_in_cgroup(engine.cgroup_of(lab, machine)))
    numbers.discard(os.getpid())
    return [process for pid in sorted(numbers) if (process := pids.process_of(pid))]


def remove_folders(lab: Lab) -> None:
    """Remove the lab's folder in /run, and with it the claim to its name."""
    engine.remove_cgroups(f"/peapod/{lab.name}")
    _remove_if_empty("/peapod")
    remove_folder(lab.run)


def remove_folder(folder: Path) -> None:
    """However deep the trees are that containers have made there."""
    run(["rm", "-rf", "--one-file-system", str(folder)], timeout=600)


def _remove_if_empty(cgroup: str) -> None:
    """Remove the cgroup of all labs unless another lab uses it."""
    root = Path("/sys/fs/cgroup")
    for base in [root, *(part for part in root.iterdir() if part.is_dir())]:
        try:
            (base / cgroup.lstrip("/")).rmdir()
        except OSError:  # missing, or not empty
            continue


def command_lines() -> dict[int, list[str]]:
    """The command line of every process."""
    command_lines = {}
    for pid in namespaces.all_pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:  # ended in the meantime
            continue
        command_lines[pid] = [os.fsdecode(word) for word in words if word]
    return command_lines


def parents() -> dict[int, int]:
    """The parent of every process."""
    parent_of = {}
    for pid in namespaces.all_pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:  # ended in the meantime
            continue
        parent_of[pid] = int(stat.rpartition(")")[2].split()[1])
    return parent_of


def with_descendants(roots: Sequence[int], parent_of: dict[int, int]) -> set[int]:
    """These processes and all that descend from them."""
    family = set(roots)
    while True:
        more = {pid for pid, parent in parent_of.items() if parent in family} - family
        if not more:
            return family
        family |= more
