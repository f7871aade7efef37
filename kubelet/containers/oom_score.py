"""Quality-of-service class of a pod, and how ready the kernel should be to kill its containers for memory. Pure."""

from pathlib import Path

from apimachinery import quantity
from apimachinery.types import core_v1

SANDBOX_SCORE = -998
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000
_CAP_SYS_RESOURCE = 24


def qos_class(pod: core_v1.Pod) -> str:
    """Guaranteed, Burstable or BestEffort, as the apiserver set it or would."""
    if pod.status.qos_class:
        return pod.status.qos_class
    guaranteed, asked = True, False
    for container in pod.spec.containers:
        limits, requests = container.resources.limits or {}, container.resources.requests or {}
        for name in ("cpu", "memory"):
            asked = asked or name in limits or name in requests
            same = name in limits and quantity.parse(requests.get(name, limits[name])) == quantity.parse(limits[name])
            guaranteed = guaranteed and same
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def oom_score_adj(pod: core_v1.Pod, container: core_v1.Container, memory: int) -> int:
    """The higher, the sooner killed: who asked for more of the node's ``memory`` (bytes) is spared longer."""
    match qos_class(pod):
        case "Guaranteed":
            return _GUARANTEED_SCORE
        case "BestEffort":
            return _BEST_EFFORT_SCORE
    requests, limits = container.resources.requests or {}, container.resources.limits or {}
    asked = quantity.value(requests.get("memory", limits.get("memory", 0)))
    score = 1000 - 1000 * asked // max(1, memory)
    return min(_BEST_EFFORT_SCORE - 1, max(1000 + _GUARANTEED_SCORE, score))


def lowest_score(proc: Path = Path("/proc/self")) -> int:
    """The lowest score that this machine lets us give: without CAP_SYS_RESOURCE none below our own."""
    for line in (proc / "status").read_text().splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1:
            return -1000
    return int((proc / "oom_score_adj").read_text())
