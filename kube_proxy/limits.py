"""The process's limit of open files: two descriptors go into every connection."""

import logging
import resource
from pathlib import Path

log = logging.getLogger(__name__)

WANTED = 1_048_576
ENOUGH = 64_000
"""What Kubernetes' own proxy asks for."""
_NR_OPEN = Path("/proc/sys/fs/nr_open")


def raise_open_files() -> int:
    """As many as the kernel lets us have, for this process and its workers; the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(WANTED, int(_NR_OPEN.read_text()))
    for limits in ((max(most, soft), max(most, hard)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, PermissionError):  # not for us to raise the hard one
            continue
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < ENOUGH:
        log.warning("no more than %d files may be open: at %d connections clients will have to wait", limit, limit // 2)
    return limit
