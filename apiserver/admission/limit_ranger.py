"""What the limit ranges of a namespace say about its pods and claims: defaults are filled in, the rest is judged.

Pods are looked at when they are created, claims also when they are updated. Messages as Kubernetes' limitranger's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from apimachinery import meta
from apimachinery.core import pod_resources
from apimachinery.core.pod_resources import exact
from apimachinery.quantity import Amount
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod
from apiserver.admission import Plugin, denied
from apiserver.registry.store import Store
from apiserver.request import Attributes

ANNOTATION: Final = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, Amount]


class LimitRanger(Plugin[Pod | PersistentVolumeClaim]):
    types = (Pod, PersistentVolumeClaim)

    def __init__(self, ranges: Store[LimitRange]) -> None:
        self._ranges = ranges

    async def admit(
        self, attributes: Attributes, obj: Pod | PersistentVolumeClaim, old: Pod | PersistentVolumeClaim | None
    ) -> None:
        if attributes.subresource or old is not None or not isinstance(obj, Pod):
            return
        for limit_range in await self._of(attributes.namespace):
            fill(obj, limit_range)

    async def validate(
        self, attributes: Attributes, obj: Pod | PersistentVolumeClaim, old: Pod | PersistentVolumeClaim | None
    ) -> None:
        if attributes.subresource or (old is not None and (isinstance(obj, Pod) or meta.is_being_deleted(obj))):
            return
        for limit_range in await self._of(attributes.namespace):
            broken = list(violations(obj, limit_range))
            if broken:
                raise denied(attributes, obj, broken[0] if len(broken) == 1 else f"[{', '.join(broken)}]")

    async def _of(self, namespace: str) -> list[LimitRange]:
        """Raises ServiceUnavailable if they are not known in time."""
        if not self._ranges.is_loaded:
            await self._ranges.cache.wait_until()
        return self._ranges.all_cached(namespace)


def fill(pod: Pod, limit_range: LimitRange) -> None:
    """Give the pod's containers the default limits and requests, and write down which in an annotation."""
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    for item in limit_range.spec.limits:
        if item.type == "Container":
            limits.update(item.default or {})
            requests.update(item.default_request or {})
    changes = [
        change for container in pod.spec.containers for change in _fill(container, "container", limits, requests)
    ]
    for container in pod.spec.init_containers or ():
        changes += _fill(container, "init container", limits, requests)
    if changes:
        annotations = pod.metadata.annotations or {}
        pod.metadata.annotations = {**annotations, ANNOTATION: f"LimitRanger plugin set: {'; '.join(changes)}"}


def _fill(
    container: Container, what: str, limits: Mapping[str, Quantity], requests: Mapping[str, Quantity]
) -> Iterator[str]:
    resources = container.resources
    added_requests = {name: value for name, value in requests.items() if name not in (resources.requests or {})}
    added_limits = {name: value for name, value in limits.items() if name not in (resources.limits or {})}
    if added_requests:
        resources.requests = {**(resources.requests or {}), **added_requests}
        yield f"{', '.join(sorted(added_requests))} request for {what} {container.name}"
    if added_limits:
        resources.limits = {**(resources.limits or {}), **added_limits}
        yield f"{', '.join(sorted(added_limits))} limit for {what} {container.name}"


def violations(obj: Pod | PersistentVolumeClaim, limit_range: LimitRange) -> Iterator[str]:
    for item in limit_range.spec.limits:
        if isinstance(obj, PersistentVolumeClaim):
            if item.type == "PersistentVolumeClaim":
                requests = exact(obj.spec.resources.requests if obj.spec.resources else None)
                yield from _each(_below_minimum, item.min, item, requests, {})
                yield from _each(_request_above_maximum, item.max, item, requests, {})
        elif item.type == "Container":
            for container in (*obj.spec.containers, *(obj.spec.init_containers or ())):
                yield from _all(item, exact(container.resources.requests), exact(container.resources.limits))
        elif item.type == "Pod":
            requests = pod_resources.exact_requests(obj, overhead=False)
            yield from _all(item, requests, pod_resources.exact_limits(obj, overhead=False))


def _all(item: LimitRangeItem, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _each(_below_minimum, item.min, item, requests, limits)
    yield from _each(_above_maximum, item.max, item, requests, limits)
    yield from _each(_above_ratio, item.max_limit_request_ratio, item, requests, limits)


Rule = Callable[["_Bound", Amount | None, Amount | None], str]
"""What is wrong with a request and a limit; empty if nothing is."""


class _Bound(NamedTuple):
    resource: str
    type: str
    amount: Amount

    def __str__(self) -> str:
        return f"{self.resource} usage per {self.type} is {self.amount}"


def _each(
    rule: Rule, bounds: Mapping[str, Quantity] | None, item: LimitRangeItem, requests: Amounts, limits: Amounts
) -> Iterator[str]:
    for name, amount in exact(bounds).items():
        fault = rule(_Bound(name, item.type, amount), requests.get(name), limits.get(name))
        if fault:
            yield fault


def _below_minimum(bound: _Bound, request: Amount | None, limit: Amount | None) -> str:
    if request is None:
        return f"minimum {bound}.  No request is specified"
    if request < bound.amount:
        return f"minimum {bound}, but request is {request}"
    if limit is not None and limit < bound.amount:
        return f"minimum {bound}, but limit is {limit}"
    return ""


def _above_maximum(bound: _Bound, request: Amount | None, limit: Amount | None) -> str:
    if limit is None:
        return f"maximum {bound}.  No limit is specified"
    if limit > bound.amount:
        return f"maximum {bound}, but limit is {limit}"
    if request is not None and request > bound.amount:
        return f"maximum {bound}, but request is {request}"
    return ""


def _request_above_maximum(bound: _Bound, request: Amount | None, limit: Amount | None) -> str:
    if request is None:
        return f"maximum {bound}.  No request is specified"
    return f"maximum {bound}, but request is {request}" if request > bound.amount else ""


def _above_ratio(bound: _Bound, request: Amount | None, limit: Amount | None) -> str:
    rule = f"{bound.resource} max limit to request ratio per {bound.type} is {bound.amount}"
    if request is None or not request.number:
        return f"{rule}, but no request is specified or request is 0"
    if limit is None or not limit.number:
        return f"{rule}, but no limit is specified or limit is 0"
    ratio = limit.number / request.number
    return f"{rule}, but provided ratio is {float(ratio):f}" if ratio > bound.amount.number else ""
