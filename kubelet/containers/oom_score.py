"""Which containers the kernel kills first for want of memory, by their pod's quality of service."""

from pathlib import Path

from apimachinery.core import pod_resources, qos
from apimachinery.types import core_v1

SANDBOX_SCORE = -998
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000
_CAP_SYS_RESOURCE = 24


def oom_score_adj(pod: core_v1.Pod, container: core_v1.Container, memory: int) -> int:
    """The higher, the sooner it is killed: the more of the node's ``memory`` (bytes) it requests, the later."""
    match qos.qos_class(pod.spec):
        case "Guaranteed":
            return _GUARANTEED_SCORE
        case "BestEffort":
            return _BEST_EFFORT_SCORE
    requested = pod_resources.container_requests(container).get(pod_resources.MEMORY, 0)
    score = 1000 - 1000 * requested // max(1, memory)
    return min(_BEST_EFFORT_SCORE - 1, max(1000 + _GUARANTEED_SCORE, score))


def lowest_score(proc: Path = Path("/proc/self")) -> int:
    """The lowest score that this process may set: without CAP_SYS_RESOURCE none below its own."""
    for line in (proc / "status").read_text().splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1:
            return -1000
    return int((proc / "oom_score_adj").read_text())
