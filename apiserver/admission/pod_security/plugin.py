"""Holds pods to the standard that the labels of their namespace ask for.

Pods are refused, pods and whatever makes pods are noted in the audit log and warned of. Who tightens a namespace is
warned of the pods that are there already. What is exempt is not looked at.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from apimachinery.types.batch_v1 import CronJob, Job
from apimachinery.types.core_v1 import Namespace, Pod, PodSpec, PodTemplate, PodTemplateSpec, ReplicationController
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin, denied
from apiserver.admission.pod_security.baseline import SECCOMP_CONTAINER_ANNOTATION
from apiserver.admission.pod_security.configuration import PodSecurityConfiguration
from apiserver.admission.pod_security.findings import containers_of
from apiserver.admission.pod_security.levels import PREFIX, PRIVILEGED, LevelVersion, Policy, policy_of
from apiserver.admission.pod_security.standard import violations
from apiserver.registry.store import Store
from apiserver.request import Attributes

_IGNORED: Final = ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status")
"""Subresources of pods that leave the spec alone."""
_PODS_LIMIT: Final = 3000
_SECONDS: Final = 1.0
_SLICE: Final = 50
"""How many pods are looked at, and how long, when a namespace is tightened; and how many between others' turns."""

Workload = ReplicationController | ReplicaSet | Deployment | StatefulSet | DaemonSet | Job


class PodSecurity(Plugin[KubeObject]):
    types = (
        Namespace, Pod, PodTemplate, ReplicationController, ReplicaSet, Deployment, StatefulSet, DaemonSet, Job, CronJob,
    )  # fmt: skip

    def __init__(self, namespaces: Store[Namespace], pods: Store[Pod], configuration: PodSecurityConfiguration) -> None:
        self._namespaces, self._pods, self._configuration = namespaces, pods, configuration

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if isinstance(obj, Namespace):
            if not attributes.subresource:
                await self._validate_namespace(attributes, obj, old)
            return
        is_pod = isinstance(obj, Pod)
        if attributes.subresource and (not is_pod or attributes.subresource in _IGNORED):
            return
        configuration, namespace_name = self._configuration, meta.namespace_of(obj)
        if namespace_name in configuration.namespaces:
            return attributes.annotate(f"{PREFIX}exempt", "namespace")
        if attributes.user.name in configuration.usernames:
            return attributes.annotate(f"{PREFIX}exempt", "user")
        namespace = await self._namespaces.find(Key("", namespace_name))
        policy, faults = policy_of(namespace.metadata.labels if namespace else None, configuration.defaults)
        if all(standard.level == PRIVILEGED for standard in (policy if is_pod else policy[1:])):
            return None
        if isinstance(obj, Pod) and isinstance(old, Pod) and not is_significant(obj, old):
            return None
        template = obj if isinstance(obj, Pod) else template_of(obj)
        if template is None:
            return None
        if template.spec.runtime_class_name in configuration.runtime_classes:
            return attributes.annotate(f"{PREFIX}exempt", "runtimeClass")
        if faults:
            attributes.annotate(f"{PREFIX}error", f"Failed to parse policy: {', '.join(map(str, faults))}")
        _judge(attributes, obj, policy, template.metadata, template.spec)
        return None

    async def _validate_namespace(self, attributes: Attributes, obj: Namespace, old: KubeObject | None) -> None:
        defaults = self._configuration.defaults
        policy, faults = policy_of(obj.metadata.labels, defaults)
        before, faults_before = policy_of(old.metadata.labels, defaults) if old is not None else (defaults, [])
        if faults and faults != faults_before:
            raise errors.invalid("Namespace", "", meta.name_of(obj), faults)
        if meta.name_of(obj) in self._configuration.namespaces:
            if old is None or tightens(policy.enforce, before.enforce):
                self._warn_exempt(attributes, obj, policy)
        elif old is not None and tightens(policy.enforce, before.enforce):
            for warning in await self._warnings(meta.name_of(obj), policy.enforce):
                attributes.warn(warning)

    def _warn_exempt(self, attributes: Attributes, namespace: Namespace, policy: Policy) -> None:
        if policy == self._configuration.defaults or not str(policy):
            return
        attributes.warn(
            f'namespace "{meta.name_of(namespace)}" is exempt from Pod Security, and the policy '
            f"({policy}) will be ignored"
        )

    async def _warnings(self, namespace: str, standard: LevelVersion) -> list[str]:
        """Which pods that exist violate a new standard; each reason once."""
        exempt = self._configuration.runtime_classes
        pods = [pod for pod in self._pods.all_cached(namespace) if pod.spec.runtime_class_name not in exempt]
        deadline, checked = asyncio.get_running_loop().time() + _SECONDS, 0
        reasons: dict[str, list[str]] = {}
        for pod in _one_of_each_controller_first(pods)[:_PODS_LIMIT]:
            faults = violations(standard, pod.metadata, pod.spec)
            if faults:
                reasons.setdefault(", ".join(fault.reason for fault in faults), []).append(meta.name_of(pod))
            checked += 1
            if checked % _SLICE == 0:
                await asyncio.sleep(0)
                if asyncio.get_running_loop().time() > deadline:
                    break
        warnings = []
        if checked < len(pods):
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {checked} of {len(pods)} existing pods"
            )
        if reasons:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
            )
        return warnings + sorted(f"{_named(names)}: {reason}" for reason, names in reasons.items())


def _judge(attributes: Attributes, obj: KubeObject, policy: Policy, metadata: ObjectMeta, spec: PodSpec) -> None:
    """Raises Forbidden if ``obj`` is a pod that violates what is enforced."""

    def faults(standard: LevelVersion) -> str:
        return ", ".join(map(str, violations(standard, metadata, spec)))

    if audited := faults(policy.audit):
        attributes.annotate(f"{PREFIX}audit-violations", f'would violate PodSecurity "{policy.audit}": {audited}')
    if isinstance(obj, Pod):
        attributes.annotate(f"{PREFIX}enforce-policy", str(policy.enforce))
        if enforced := faults(policy.enforce):
            raise denied(attributes, obj, f'violates PodSecurity "{policy.enforce}": {enforced}')
    if warned := faults(policy.warn):
        attributes.warn(f'would violate PodSecurity "{policy.warn}": {warned}')


def tightens(new: LevelVersion, old: LevelVersion) -> bool:
    """Whether pods that conformed to the old standard may violate the new one."""
    if new == old or new.level == PRIVILEGED:
        return False
    return new.version != old.version or new.strictness > old.strictness


def is_significant(new: Pod, old: Pod) -> bool:
    """Whether an update of a pod changes what the standard is about: its containers or their images."""

    def judged(pod: Pod) -> list[tuple[str, str | None, str | None]]:
        annotations = pod.metadata.annotations or {}
        return [
            (container.name, container.image, annotations.get(SECCOMP_CONTAINER_ANNOTATION + container.name))
            for container in containers_of(pod.spec)
        ]

    return judged(new) != judged(old)


def template_of(obj: KubeObject) -> PodTemplateSpec | None:
    """What the object makes pods from."""
    if isinstance(obj, CronJob):
        return obj.spec.job_template.spec.template
    if isinstance(obj, PodTemplate):
        return obj.template
    return obj.spec.template if isinstance(obj, Workload) else None


def _one_of_each_controller_first(pods: Iterable[Pod]) -> list[Pod]:
    """Those of one controller are alike, so that few of them tell most."""
    seen = Counter[str]()

    def ranked() -> Iterator[tuple[int, Pod]]:
        for pod in pods:
            controller = meta.controller_of(pod)
            yield (seen[controller.uid] if controller is not None else 0), pod
            if controller is not None:
                seen[controller.uid] += 1

    return [pod for _, pod in sorted(ranked(), key=lambda item: bool(item[0]))]


def _named(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"
