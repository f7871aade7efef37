"""What a pod requests of its node, and its limits.

Amounts are whole numbers, rounded up: CPU in thousandths, everything else in its own unit (bytes, counts), as
Kubernetes' scheduler and kubelet count. What is compared with an administrator's limits and quotas is exact.
Rules of ``PodRequests`` and ``PodLimits`` in k8s.io/component-helpers/resource.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from apimachinery import names, quantity
from apimachinery.core import containers
from apimachinery.quantity import Amount
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import Container, Pod

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL_STORAGE: Final = "ephemeral-storage"
PODS: Final = "pods"
_REQUESTS: Final = "requests."

N = TypeVar("N", int, Amount)


def is_native(resource: str) -> bool:
    """Whether Kubernetes itself defines a resource."""
    return "/" not in resource or "kubernetes.io/" in resource


def is_extended(resource: str) -> bool:
    """Whether others do: an administrator or a device plugin says how much a node has, in whole units."""
    in_quotas = f"{_REQUESTS}{resource}"
    return not is_native(resource) and not resource.startswith(_REQUESTS) and names.qualified_name(in_quotas) is None


def extended(quantities: Mapping[str, Quantity] | None) -> dict[str, Quantity]:
    """Those of extended resources."""
    return {name: value for name, value in (quantities or {}).items() if is_extended(name)}


def amount(resource: str, value: Quantity) -> int:
    """Raises ValueError if ``value`` is not a quantity."""
    return quantity.milli(value) if resource == CPU else quantity.value(value)


def amounts(quantities: Mapping[str, Quantity] | None) -> dict[str, int]:
    return {name: amount(name, value) for name, value in (quantities or {}).items()}


def container_requests(container: Container) -> dict[str, int]:
    """A limit without a request counts as the request, as the API's defaults set it."""
    requests = amounts(container.resources.requests)
    for name, value in (container.resources.limits or {}).items():
        if name not in requests:
            requests[name] = amount(name, value)
    return requests


def container_limits(container: Container) -> dict[str, int]:
    return amounts(container.resources.limits)


def requests(pod: Pod) -> dict[str, int]:
    """The pod's effective requests, its overhead included.

    That is the sum over all containers that run side by side, or the most demanding step of its start if that is more:
    an init container together with the sidecars that started before it.
    """
    total = _effective(pod, container_requests, operator.add)
    if pod.spec.overhead:
        _add(total, amounts(pod.spec.overhead), operator.add)
    return total


def limits(pod: Pod) -> dict[str, int]:
    """The pod's effective limits; overhead is added only to resources that have a limit."""
    total = _effective(pod, container_limits, operator.add)
    overhead = {name: value for name, value in amounts(pod.spec.overhead).items() if name in total}
    _add(total, overhead, operator.add)
    return total


def exact(quantities: Mapping[str, Quantity] | None) -> dict[str, Amount]:
    """Raises ValueError if a value is not a quantity."""
    return {name: Amount.of(value) for name, value in (quantities or {}).items()}


def exact_requests(pod: Pod, *, overhead: bool) -> dict[str, Amount]:
    """What the pod's containers effectively request, by their requests alone, and its overhead if that counts."""
    total = _effective(pod, lambda container: exact(container.resources.requests), Amount.plus)
    if overhead:
        _add(total, exact(pod.spec.overhead), Amount.plus)
    return total


def exact_limits(pod: Pod, *, overhead: bool) -> dict[str, Amount]:
    total = _effective(pod, lambda container: exact(container.resources.limits), Amount.plus)
    if overhead:
        _add(total, {name: value for name, value in exact(pod.spec.overhead).items() if name in total}, Amount.plus)
    return total


def _effective(pod: Pod, of: Callable[[Container], dict[str, N]], plus: Callable[[N, N], N]) -> dict[str, N]:
    if not pod.spec.init_containers and len(pod.spec.containers) == 1:
        return of(pod.spec.containers[0])
    running: dict[str, N] = {}
    peak: dict[str, N] = {}
    for container in containers.init_containers(pod):
        own = of(container)
        if containers.is_sidecar(container):
            _add(running, own, plus)
            _raise(peak, running)
        else:
            _raise(
                peak, {name: plus(value, running[name]) if name in running else value for name, value in own.items()}
            )
    for container in pod.spec.containers:
        _add(running, of(container), plus)
    _raise(running, peak)
    return running


def _add(total: dict[str, N], more: Mapping[str, N], plus: Callable[[N, N], N]) -> None:
    for name, value in more.items():
        total[name] = plus(total[name], value) if name in total else value


def _raise(total: dict[str, N], floor: Mapping[str, N]) -> None:
    for name, value in floor.items():
        total[name] = max(total[name], value) if name in total else value
