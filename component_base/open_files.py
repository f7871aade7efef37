"""The process's limit of open files (RLIMIT_NOFILE): every connection, watch and probe needs one or two."""

import resource
from pathlib import Path

_NR_OPEN = Path("/proc/sys/fs/nr_open")
"""The kernel's own limit, even for root."""


def current_limit() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit(limit: int | None = None) -> int:
    """Let this process, and those that it starts, open ``limit`` files. Returns the new limit.

    The default is the hard limit. Going above it needs privileges; without them the result is the hard limit. A limit
    is never lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = hard if limit is None else max(soft, min(limit, int(_NR_OPEN.read_text())))
    if target == soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, max(target, hard)))
    except (OSError, ValueError):  # not allowed to raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return current_limit()
