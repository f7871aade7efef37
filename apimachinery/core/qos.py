"""The quality-of-service class of a pod: Guaranteed, Burstable or BestEffort.

``ComputePodQOS`` of Kubernetes' pkg/apis/core/v1/helper/qos: only CPU and memory count, zero counts as unset, and init
containers count like any other. Amounts are compared exactly, finer than the scheduler counts.
"""

from decimal import Decimal
from typing import Final, Literal

from apimachinery import quantity
from apimachinery.core.pod_resources import CPU, MEMORY
from apimachinery.types.core_v1 import PodSpec

QOSClass = Literal["Guaranteed", "Burstable", "BestEffort"]
_COUNTED: Final = (CPU, MEMORY)


def qos_class(spec: PodSpec) -> QOSClass:
    """The class that a pod of this spec has; defaults of the API need not have been filled in."""
    requests: dict[str, Decimal] = {}
    limits: dict[str, Decimal] = {}
    all_limited = True
    for container in (*spec.containers, *(spec.init_containers or ())):
        own_limits = container.resources.limits or {}
        own_requests = {**own_limits, **(container.resources.requests or {})}
        for name in _COUNTED:
            if requested := quantity.parse(own_requests.get(name, 0)):
                requests[name] = requests.get(name, Decimal(0)) + requested
            if limit := quantity.parse(own_limits.get(name, 0)):
                limits[name] = limits.get(name, Decimal(0)) + limit
            else:
                all_limited = False
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if all_limited and requests == limits else "Burstable"
