"""What controllers ask of a pod's state. Pure."""

from datetime import datetime

from apimachinery import meta
from apimachinery.types.core_v1 import Pod, PodCondition


def condition(pod: Pod, type: str) -> PodCondition | None:
    return next((one for one in pod.status.conditions or () if one.type == type), None)


def is_ready(pod: Pod) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.status == "True"


def is_terminal(pod: Pod) -> bool:
    """Its containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """It counts as one of its controller's replicas."""
    return not is_terminal(pod) and pod.metadata.deletion_timestamp is None


def ready_since(pod: Pod) -> datetime | None:
    """When it became ready, if it is."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True" or not ready.last_transition_time:
        return None
    return meta.parse_time(ready.last_transition_time)


def seconds_until_available(pod: Pod, min_ready_seconds: int, now: datetime) -> float | None:
    """0 if it has been ready for long enough, None while it is not ready."""
    if not is_ready(pod):
        return None
    since = ready_since(pod)
    if min_ready_seconds <= 0:
        return 0.0
    return float(min_ready_seconds) if since is None else max(0.0, min_ready_seconds - (now - since).total_seconds())
