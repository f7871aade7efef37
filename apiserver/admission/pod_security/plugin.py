"""The admission plugin ``PodSecurity``: pods are held to the level of the standards that their namespace demands.

A pod that violates what the namespace enforces is refused. Of other violations the client is warned, and the audit log
told: in pods, and in the templates of whatever makes pods. A namespace's own labels must be right, and who makes one
stricter is warned of the pods that would be refused now. Rules of k8s.io/pod-security-admission.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, get_args

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from apimachinery.types.batch_v1 import CronJob, Job
from apimachinery.types.core_v1 import (
    Namespace,
    Pod,
    PodSpec,
    PodTemplate,
    PodTemplateSpec,
    ReplicationController,
)
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin, denied, metrics
from apiserver.admission.pod_security.checks import Violation, all_containers
from apiserver.admission.pod_security.configuration import Configuration
from apiserver.admission.pod_security.levels import LATEST, PREFIX, LevelVersion, Policy, Reading, read_labels
from apiserver.admission.pod_security.standard import evaluate
from apiserver.registry.store import Store
from apiserver.request import Attributes
from component_base.version import MINOR

_OTHER_SUBRESOURCES: Final = frozenset(
    ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status")
)
"""Those of pods that do not change the spec."""
_MOST_PODS: Final = 3000
_MOST_SECONDS: Final = 1.0
"""How many pods, and how long, are checked when a namespace becomes stricter; as in Kubernetes."""
_AT_ONCE: Final = 50
"""Pods that are checked before others get their turn on the event loop."""

Maker = DaemonSet | Deployment | ReplicaSet | StatefulSet | CronJob | Job | PodTemplate | ReplicationController


class PodSecurity(Plugin[KubeObject]):
    types = (Namespace, Pod, *get_args(Maker))

    def __init__(self, namespaces: Store[Namespace], pods: Store[Pod], configuration: Configuration) -> None:
        self._namespaces, self._pods, self._configuration = namespaces, pods, configuration

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if isinstance(obj, Namespace):
            if not attributes.subresource:
                await self._validate_namespace(attributes, obj, old)
        elif isinstance(obj, Pod):
            if attributes.subresource not in _OTHER_SUBRESOURCES and not (
                isinstance(old, Pod) and not is_significant(obj, old)
            ):
                await self._validate_spec(attributes, obj, obj.metadata, obj.spec)
        elif not attributes.subresource and isinstance(obj, Maker) and (template := template_of(obj)) is not None:
            await self._validate_spec(attributes, obj, template.metadata, template.spec)

    # -- pods, and templates of pods

    async def _validate_spec(
        self, attributes: Attributes, obj: KubeObject, metadata: ObjectMeta, spec: PodSpec
    ) -> None:
        """Raises Forbidden if a pod violates what is enforced."""
        if why := self._exemption(attributes, spec):
            attributes.remarks.annotations[PREFIX + "exempt"] = why
            metrics.pod_security_exemptions.inc(*_request(attributes))
            return
        policy, faults = await self._policy(attributes.namespace)
        if policy.is_privileged and not faults:
            return
        if faults:
            attributes.remarks.annotations[PREFIX + "error"] = f"Failed to parse policy: {', '.join(map(str, faults))}"
            metrics.pod_security_errors.inc("false", *_request(attributes))
        self._judge(policy, attributes, obj, metadata, spec)

    def _exemption(self, attributes: Attributes, spec: PodSpec) -> str:
        """What the configuration exempts; empty if nothing."""
        exempt = self._configuration
        if attributes.namespace in exempt.namespaces:
            return "namespace"
        if attributes.user.name in exempt.usernames:
            return "user"
        return "runtimeClass" if spec.runtime_class_name in exempt.runtime_classes else ""

    def _judge(
        self, policy: Policy, attributes: Attributes, obj: KubeObject, metadata: ObjectMeta, spec: PodSpec
    ) -> None:
        """Raises Forbidden if a pod violates what is enforced."""
        notes = attributes.remarks.annotations
        violations = {level: evaluate(level, metadata, spec) for level in set(policy)}  # often they are all the same
        if violations[policy.audit]:
            _count("deny", "audit", policy.audit, attributes)
            notes[PREFIX + "audit-violations"] = f"would violate {_described(policy.audit, violations[policy.audit])}"
        if isinstance(obj, Pod):
            notes[PREFIX + "enforce-policy"] = str(policy.enforce)
            _count("deny" if violations[policy.enforce] else "allow", "enforce", policy.enforce, attributes)
            if violations[policy.enforce]:
                raise denied(attributes, obj, f"violates {_described(policy.enforce, violations[policy.enforce])}")
        if violations[policy.warn]:
            _count("deny", "warn", policy.warn, attributes)
            attributes.remarks.warn(f"would violate {_described(policy.warn, violations[policy.warn])}")

    async def _policy(self, namespace: str) -> Reading:
        owner = await self._namespaces.find(Key("", namespace))
        if owner is None:
            raise errors.InternalError(f'failed to lookup namespace "{namespace}"')
        return read_labels(owner.metadata.labels, self._configuration.defaults)

    # -- namespaces

    async def _validate_namespace(self, attributes: Attributes, obj: Namespace, old: KubeObject | None) -> None:
        """Raises Invalid if labels are wrong that were not so before."""
        new = read_labels(obj.metadata.labels, self._configuration.defaults)
        before = read_labels(old.metadata.labels, self._configuration.defaults) if old is not None else None
        if new.faults and (before is None or new.faults != before.faults):
            raise errors.invalid("Namespace", "", meta.name_of(obj), new.faults)
        if before is not None and not _demands_more(new.policy.enforce, before.policy.enforce):
            return
        if meta.name_of(obj) in self._configuration.namespaces:
            if new.policy not in (self._configuration.defaults, Policy()) and not new.policy.is_privileged:
                attributes.remarks.warn(
                    f'namespace "{meta.name_of(obj)}" is exempt from Pod Security, and the policy '
                    f"({_labelled(new.policy, obj)}) will be ignored"
                )
        elif before is not None:
            for warning in await self._violating(meta.name_of(obj), new.policy.enforce):
                attributes.remarks.warn(warning)

    async def _violating(self, namespace: str, policy: LevelVersion) -> list[str]:
        """Warnings of the pods that violate a policy, those that do the same together."""
        pods = one_of_each_controller_first(self._pods.all_cached(namespace))
        loop = asyncio.get_running_loop()
        deadline, checked = loop.time() + _MOST_SECONDS, 0
        violating: dict[str, list[str]] = defaultdict(list)
        for pod in pods[:_MOST_PODS]:
            checked += 1
            if pod.spec.runtime_class_name not in self._configuration.runtime_classes and (
                violations := evaluate(policy, pod.metadata, pod.spec)
            ):
                violating[", ".join(violation.reason for violation in violations)].append(meta.name_of(pod))
            if checked % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if loop.time() > deadline:
                break
        warnings = []
        if checked < len(pods):
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {checked} of {len(pods)} existing pods"
            )
        if violating:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"'
            )
        return [*warnings, *sorted(f"{_first(names)}: {reasons}" for reasons, names in violating.items())]


def template_of(obj: Maker) -> PodTemplateSpec | None:
    """What an object makes pods from."""
    match obj:
        case PodTemplate():
            return obj.template
        case CronJob():
            return obj.spec.job_template.spec.template
    return obj.spec.template


def is_significant(pod: Pod, old: Pod) -> bool:
    """Whether an update may have changed what the standards are about: of what can change, images and containers."""
    before = {container.name: container.image for container in all_containers(old.spec)}
    now = [(container.name, container.image) for container in all_containers(pod.spec)]
    return any(name not in before or before[name] != image for name, image in now)


def one_of_each_controller_first(pods: Iterable[Pod]) -> list[Pod]:
    """Pods of one controller are alike, so the first of each says most if not all can be checked."""
    seen, first, rest = set[str](), list[Pod](), list[Pod]()
    for pod in pods:
        controller = meta.controller_of(pod)
        if controller is None or controller.uid not in seen:
            first.append(pod)
        else:
            rest.append(pod)
        if controller is not None:
            seen.add(controller.uid)
    return [*first, *rest]


def _demands_more(new: LevelVersion, old: LevelVersion) -> bool:
    if new == old or new.level == "privileged":
        return False
    return new.version != old.version or new.is_stricter(old)


def _labelled(policy: Policy, namespace: Namespace) -> str:
    """Those modes that the namespace's own labels set."""
    labels = namespace.metadata.labels or {}
    return ", ".join(
        f"{mode}={level}"
        for mode, level in zip(Policy._fields, policy, strict=True)
        if level.level != "privileged" and (PREFIX + mode in labels or f"{PREFIX}{mode}-version" in labels)
    )


def _request(attributes: Attributes) -> tuple[str, str, str]:
    """The request in the labels of metrics."""
    return metrics.operation(attributes).lower(), attributes.resource, attributes.subresource


def _count(decision: str, mode: str, policy: LevelVersion, attributes: Attributes) -> None:
    level, _, version = str(policy).partition(":")
    if int(MINOR) < policy.version < LATEST:
        version = "future"  # labels of namespaces must not make ever more time series
    metrics.pod_security_evaluations.inc(decision, level, version, mode, *_request(attributes))


def _described(policy: LevelVersion, violations: Sequence[Violation]) -> str:
    return f'PodSecurity "{policy}": {", ".join(map(str, violations))}'


def _first(names: Sequence[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"
