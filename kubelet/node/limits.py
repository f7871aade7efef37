"""The machine's limits on open files and inotify: if they are too low for the node's pods, these fail at random, later.

So they are read when the kubelet starts, and what is too low is reported in events of the node.
"""

import logging
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILES_PER_POD, FILES_OF_KUBELET = 8, 512
"""Open files: probes, streams and statistics of a pod; connections to the engine and the apiserver, listeners, logs."""

INSTANCES_OF_THE_MACHINE, WATCHES = 64, 8192
"""inotify: instances that the machine needs besides pods, and the kernel's default of watches."""


@dataclass(frozen=True)
class Limits:
    open_files: int
    """To which this process may raise its own; -1 for no limit."""
    inotify_instances: int
    """Per user: shared by all of root's processes, those in containers too."""
    inotify_watches: int


def read_limits(proc: Path = Path("/proc")) -> Limits:
    inotify = proc / "sys/fs/inotify"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(hard, _number(inotify / "max_user_instances"), _number(inotify / "max_user_watches"))


def shortages(limits: Limits, pods: int) -> Sequence[tuple[str, str]]:
    """Reasons and messages of events about the limits that are too low for that many ``pods``."""
    requirements = (
        ("LowOpenFilesLimit", "open files (nofile)", limits.open_files, FILES_OF_KUBELET + FILES_PER_POD * pods),
        (
            "LowInotifyLimit",
            "fs.inotify.max_user_instances",
            limits.inotify_instances,
            INSTANCES_OF_THE_MACHINE + pods // 2,
        ),
        ("LowInotifyLimit", "fs.inotify.max_user_watches", limits.inotify_watches, WATCHES),
    )
    return [
        (reason, f"The limit of {name} is {limit}; {pods} pods may need {needed}. Raise it, or lower --max-pods.")
        for reason, name, limit, needed in requirements
        if 0 <= limit < needed
    ]


def _number(path: Path) -> int:
    """-1 if the kernel has no such limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return -1
