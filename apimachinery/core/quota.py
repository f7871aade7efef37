"""What an object takes from the resource quotas of its namespace, and which quotas are about it.

An evaluator per resource knows that: pods, services and claims are measured, everything else is counted. Rules of
Kubernetes' pkg/quota/v1; what admission charges and what the quota controller adds up must be the same.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from apimachinery import meta
from apimachinery.core import persistent_volumes, pod_resources, pods
from apimachinery.core.pod_resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, exact
from apimachinery.core.qos import qos_class
from apimachinery.quantity import Amount
from apimachinery.types.core_v1 import (
    Container,
    PersistentVolumeClaim,
    Pod,
    PodAffinityTerm,
    PodSpec,
    ResourceQuotaSpec,
    ScopedResourceSelectorRequirement,
    Service,
)
from apimachinery.types.objects import KubeObject

Amounts = dict[str, Amount]

_ONE: Final = Amount.of(1)
_ZERO: Final = Amount.of(0)
_HUGE_PAGES: Final = "hugepages-"
_REQUESTS: Final = "requests."
_LIMITS: Final = "limits."
_COMPUTE: Final = (CPU, MEMORY, EPHEMERAL_STORAGE)
_MUST_BE_SPECIFIED: Final = frozenset(prefix + name for prefix in ("", _REQUESTS, _LIMITS) for name in (CPU, MEMORY))
_STORAGE: Final = "storage"
_CLAIM_NAMES: Final = ("persistentvolumeclaims", "requests.storage")
_OF_CLASS: Final = ".storageclass.storage.k8s.io/"
_COUNTED_BY_NAME: Final = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
"""Of the core group; they could be counted before ``count/...`` came."""
_UNCOUNTED: Final = {
    ("", "bindings"), ("", "componentstatuses"), ("", "events"), ("events.k8s.io", "events"),
    ("authentication.k8s.io", "selfsubjectreviews"), ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"), ("authorization.k8s.io", "subjectaccessreviews"),
}  # fmt: skip


class Evaluator:
    """Counts the objects of one resource."""

    charges_updates = False

    def __init__(self, group: str, plural: str) -> None:
        self._names = {f"count/{plural}.{group}" if group else f"count/{plural}"}
        if not group and plural in _COUNTED_BY_NAME:
            self._names.add(plural)

    def tracks(self, name: str) -> bool:
        """Whether the resource of this name in a quota is about these objects."""
        return name in self._names

    def usage(self, obj: Any, now: datetime) -> Amounts:
        return dict.fromkeys(self._names, _ONE)

    def lack(self, obj: Any, names: Iterable[str]) -> str:
        """What the object must say and does not, in view of these resources of a quota; empty if nothing."""
        return ""

    def is_in_scope(self, obj: Any, term: ScopedResourceSelectorRequirement) -> bool:
        return False


class _Pods(Evaluator):
    def tracks(self, name: str) -> bool:
        return (
            name == PODS
            or super().tracks(name)
            or name.removeprefix(_REQUESTS).startswith(_HUGE_PAGES)
            or name.removeprefix(_REQUESTS).removeprefix(_LIMITS) in _COMPUTE
            or (name.startswith(_REQUESTS) and not pod_resources.is_native(name))
        )

    def usage(self, obj: Pod, now: datetime) -> Amounts:
        """A pod that has ended, or whose time to end is over, is only counted as an object."""
        usage = super().usage(obj, now)
        if pods.is_terminal(obj) or _is_overdue(obj, now):
            return usage
        usage[PODS] = _ONE
        usage.update(
            _compute(pod_resources.exact_requests(obj, overhead=True), pod_resources.exact_limits(obj, overhead=True))
        )
        return usage

    def lack(self, obj: Pod, names: Iterable[str]) -> str:
        required = _MUST_BE_SPECIFIED.intersection(names)
        lacking: dict[str, list[str]] = {}
        if required:
            for container in (*obj.spec.containers, *(obj.spec.init_containers or ())):
                for name in required - _specified(container):
                    lacking.setdefault(name, []).append(container.name)
        if not lacking:
            return ""
        return "must specify " + "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))

    def is_in_scope(self, obj: Pod, term: ScopedResourceSelectorRequirement) -> bool:
        match term.scope_name:
            case "Terminating":
                return obj.spec.active_deadline_seconds is not None
            case "NotTerminating":
                return obj.spec.active_deadline_seconds is None
            case "BestEffort":
                return qos_class(obj.spec) == "BestEffort"
            case "NotBestEffort":
                return qos_class(obj.spec) != "BestEffort"
            case "PriorityClass":
                return _selects(term, obj.spec.priority_class_name or "")
            case "CrossNamespacePodAffinity":
                return any(term.namespaces or term.namespace_selector is not None for term in _affinity_terms(obj.spec))
        return False


class _Services(Evaluator):
    charges_updates = True

    def tracks(self, name: str) -> bool:
        return name in ("services", "services.nodeports", "services.loadbalancers") or super().tracks(name)

    def usage(self, obj: Service, now: datetime) -> Amounts:
        node_ports, is_balanced = 0, obj.spec.type == "LoadBalancer"
        if is_balanced and obj.spec.allocate_load_balancer_node_ports is False:
            node_ports = sum(bool(port.node_port) for port in obj.spec.ports or ())
        elif is_balanced or obj.spec.type == "NodePort":
            node_ports = len(obj.spec.ports or ())
        return {
            **super().usage(obj, now),
            "services": _ONE,
            "services.nodeports": Amount.of(node_ports),
            "services.loadbalancers": _ONE if is_balanced else _ZERO,
        }


class _Claims(Evaluator):
    charges_updates = True

    def tracks(self, name: str) -> bool:
        return name.partition(_OF_CLASS)[2] in _CLAIM_NAMES or name in _CLAIM_NAMES or super().tracks(name)

    def usage(self, obj: PersistentVolumeClaim, now: datetime) -> Amounts:
        measured = {_CLAIM_NAMES[0]: _ONE}
        if (storage := _storage(obj)) is not None:
            measured[_CLAIM_NAMES[1]] = storage
        usage = {**super().usage(obj, now), **measured}
        if storage_class := persistent_volumes.class_of(obj):
            usage.update({f"{storage_class}{_OF_CLASS}{name}": amount for name, amount in measured.items()})
        return usage


@lru_cache(maxsize=1024)
def evaluator_of(group: str, plural: str) -> Evaluator | None:
    """None for what no quota counts."""
    if (group, plural) in _UNCOUNTED:
        return None
    special = {"pods": _Pods, "services": _Services, "persistentvolumeclaims": _Claims} if not group else {}
    return special.get(plural, Evaluator)(group, plural)


def covers(spec: ResourceQuotaSpec, hard: Mapping[str, Any], evaluator: Evaluator, obj: KubeObject) -> bool:
    """Whether a quota is about the object."""
    return any(map(evaluator.tracks, hard)) and all(evaluator.is_in_scope(obj, term) for term in scope_terms(spec))


def scope_terms(spec: ResourceQuotaSpec) -> list[ScopedResourceSelectorRequirement]:
    """Both forms of a quota's scopes as one."""
    terms = [ScopedResourceSelectorRequirement(operator="Exists", scope_name=scope) for scope in spec.scopes or ()]
    return terms + list((spec.scope_selector.match_expressions if spec.scope_selector else None) or ())


def add(total: Mapping[str, Amount], more: Mapping[str, Amount]) -> Amounts:
    """The sum, by name."""
    result = dict(total)
    for name, amount in more.items():
        result[name] = result.get(name, _ZERO).plus(amount)
    return result


def _compute(requests: Mapping[str, Amount], limits: Mapping[str, Amount]) -> Amounts:
    usage: Amounts = {}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith(_HUGE_PAGES):
            usage[name] = usage[_REQUESTS + name] = amount
        elif pod_resources.is_extended(name):
            usage[_REQUESTS + name] = amount
    usage.update({_LIMITS + name: limits[name] for name in _COMPUTE if name in limits})
    return usage


def _specified(container: Container) -> set[str]:
    return set(_compute(exact(container.resources.requests), exact(container.resources.limits)))


def _is_overdue(pod: Pod, now: datetime) -> bool:
    deleted, grace = pod.metadata.deletion_timestamp, pod.metadata.deletion_grace_period_seconds
    return deleted is not None and grace is not None and now > meta.parse_time(deleted) + timedelta(seconds=grace)


def _selects(term: ScopedResourceSelectorRequirement, name: str) -> bool:
    match term.operator:
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return bool(name) and name in (term.values or ())
        case "NotIn":
            return name not in (term.values or ())
    return False


def _affinity_terms(spec: PodSpec) -> list[PodAffinityTerm]:
    affinity = spec.affinity
    terms: list[PodAffinityTerm] = []
    for part in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ():
        if part is not None:
            terms += part.required_during_scheduling_ignored_during_execution or ()
            preferred = part.preferred_during_scheduling_ignored_during_execution or ()
            terms += [weighted.pod_affinity_term for weighted in preferred]
    return terms


def _storage(claim: PersistentVolumeClaim) -> Amount | None:
    """What the claim requests, or what is being allocated for it if that is more, in whole bytes."""
    requested = exact(claim.spec.resources.requests if claim.spec.resources else None).get(_STORAGE)
    if requested is None:
        return None
    return max(requested, exact(claim.status.allocated_resources).get(_STORAGE, requested)).rounded_up()
