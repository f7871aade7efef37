"""The process's limit of open files (RLIMIT_NOFILE): every connection, watch and probe takes one or two."""

import resource
from pathlib import Path

_NR_OPEN = Path("/proc/sys/fs/nr_open")
"""The kernel's own bound, even for root."""


def raise_limit(wanted: int | None = None) -> int:
    """Let this process, and those that it starts, open as many files as ``wanted``; the new limit.

    By default that is the hard limit. More than the hard limit takes privileges; without them the hard limit is as
    far as it goes. A limit is never lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = hard if wanted is None else max(soft, min(wanted, int(_NR_OPEN.read_text())))
    if target == soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, max(target, hard)))
    except (OSError, ValueError):  # not for us to raise the hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
