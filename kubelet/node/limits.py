"""The machine's limits on open files and inotify: too low for the node's pods, they fail at random, later.

So they are looked at when the kubelet starts, what may be raised is raised, and the rest is told as events of the node.
"""

import logging
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILES_PER_POD, FILES_OF_OUR_OWN = 8, 512
"""Open files: probes, streams and statistics of a pod; connections to the engine and the apiserver, listeners, logs."""

INSTANCES_OF_THE_MACHINE, WATCHES = 64, 8192
"""inotify: what others than pods need, and what the kernel's own default is."""


@dataclass(frozen=True)
class Limits:
    open_files: int
    """The process's own, as far as it may be raised; -1 for no limit."""
    inotify_instances: int
    """Per user: all root's processes share them, those in containers too."""
    inotify_watches: int


def read_limits(proc: Path = Path("/proc")) -> Limits:
    inotify = proc / "sys/fs/inotify"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(hard, _number(inotify / "max_user_instances"), _number(inotify / "max_user_watches"))


def raise_open_files() -> None:
    """To as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def shortages(limits: Limits, pods: int) -> Sequence[tuple[str, str]]:
    """Reasons and messages of events for what is too low on a node of so many ``pods``."""
    wanted = (
        ("LowOpenFilesLimit", "open files (nofile)", limits.open_files, FILES_OF_OUR_OWN + FILES_PER_POD * pods),
        (
            "LowInotifyLimit",
            "fs.inotify.max_user_instances",
            limits.inotify_instances,
            INSTANCES_OF_THE_MACHINE + pods // 2,
        ),
        ("LowInotifyLimit", "fs.inotify.max_user_watches", limits.inotify_watches, WATCHES),
    )
    return [
        (reason, f"The limit of {name} is {has}; {pods} pods may need {needed}. Raise it, or lower --max-pods.")
        for reason, name, has, needed in wanted
        if 0 <= has < needed
    ]


def _number(path: Path) -> int:
    """-1 where the kernel has no such limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return -1
