"""The quality-of-service class of a pod, which follows from its containers' resources."""

from typing import Final

from apimachinery import quantity
from apimachinery.types import core_v1 as v1
from apimachinery.types.base import Quantity
from apiserver.registry.core.pod_defaults import containers

_COUNTED: Final = ("cpu", "memory")


def qos_class(spec: v1.PodSpec) -> str:
    """Guaranteed if every container has limits equal to its requests, BestEffort if none has any."""
    asked, guaranteed = False, True
    for container in containers(spec):
        requests, limits = _nonzero(container.resources.requests), _nonzero(container.resources.limits)
        asked = asked or bool(requests or limits)
        guaranteed = guaranteed and len(limits) == len(_COUNTED) and requests == limits
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _nonzero(resources: dict[str, Quantity] | None) -> dict[str, object]:
    amounts = {name: quantity.parse(amount) for name, amount in (resources or {}).items() if name in _COUNTED}
    return {name: amount for name, amount in amounts.items() if amount}
