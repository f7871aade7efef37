"""What a pod gets from the classes that it names: its priority, and what its runtime needs."""

from collections.abc import Mapping
from typing import Final

from apimachinery import codec, errors, meta, quantity
from apimachinery.core.tolerations import merged
from apimachinery.meta import Key
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import Pod
from apimachinery.types.node_v1 import RuntimeClass as NodeRuntimeClass
from apimachinery.types.objects import KubeObject
from apimachinery.types.scheduling_v1 import PriorityClass
from apiserver.admission import Plugin
from apiserver.registry.scheduling.priorityclasses import SYSTEM_PRIORITIES
from apiserver.registry.store import Store
from apiserver.request import Attributes

_PREEMPTS: Final = "PreemptLowerPriority"


class Priority(Plugin[KubeObject]):
    """A pod's priority and preemption policy are those of its class, and no client may say otherwise.

    A pod without a class gets the default one; where there is none its priority is 0. Only one class is the default.
    """

    types = (Pod, PriorityClass)

    def __init__(self, classes: Store[PriorityClass]) -> None:
        self._classes = classes

    async def admit(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if attributes.subresource or not isinstance(obj, Pod):
            return
        if isinstance(old, Pod):  # a manifest that replaces a pod does not name what was filled in
            if obj.spec.priority is None:
                obj.spec.priority = old.spec.priority
            obj.spec.preemption_policy = obj.spec.preemption_policy or old.spec.preemption_policy
            return
        name = obj.spec.priority_class_name
        chosen = await self._named(name, meta.name_of(obj)) if name else self._default()
        if not name and chosen.metadata.name:
            obj.spec.priority_class_name = chosen.metadata.name
        _fill(obj, chosen.value or 0, chosen.preemption_policy or _PREEMPTS)

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if attributes.subresource or not isinstance(obj, PriorityClass) or not obj.global_default:
            return
        others = [
            cls for cls in self._classes.all_cached() if cls.global_default and meta.name_of(cls) != meta.name_of(obj)
        ]
        if others:
            why = f"PriorityClass {meta.name_of(others[0])} is already marked as default. Only one default can exist"
            raise errors.forbidden("priorityclasses", "scheduling.k8s.io", meta.name_of(obj), why)

    async def _named(self, name: str, pod: str) -> PriorityClass:
        """Raises Forbidden if there is none of that name."""
        priority_class = await self._classes.find(Key("", name))
        if priority_class is None and name in SYSTEM_PRIORITIES:  # which each server makes, a moment after it starts
            priority_class = PriorityClass(value=SYSTEM_PRIORITIES[name])
        if priority_class is None:
            raise errors.forbidden("pods", "", pod, f"no PriorityClass with name {name} was found")
        return priority_class

    def _default(self) -> PriorityClass:
        """The default class; of several, which only two simultaneous writes can make, the lowest."""
        defaults = [cls for cls in self._classes.all_cached() if cls.global_default] if self._classes.is_loaded else []
        return min(defaults, key=lambda cls: cls.value or 0, default=PriorityClass())


def _fill(pod: Pod, priority: int, policy: str) -> None:
    """Raises Forbidden if the client said otherwise."""
    spec, suffix = pod.spec, "from the given PriorityClass name"
    if spec.priority is not None and spec.priority != priority:
        raise errors.forbidden(
            "pods", "", meta.name_of(pod), f"the integer value of priority ({spec.priority}) must not be provided in "
            f"pod spec; priority admission controller computed {priority} {suffix}",
        )  # fmt: skip
    if spec.preemption_policy and spec.preemption_policy != policy:
        raise errors.forbidden(
            "pods", "", meta.name_of(pod), f"the string value of PreemptionPolicy ({spec.preemption_policy}) must not "
            f"be provided in pod spec; priority admission controller computed {policy} {suffix}",
        )  # fmt: skip
    spec.priority, spec.preemption_policy = priority, policy


class RuntimeClass(Plugin[Pod]):
    """A pod gets the overhead, node selector and tolerations of its runtime class, which must exist."""

    types = (Pod,)

    def __init__(self, classes: Store[NodeRuntimeClass]) -> None:
        self._classes = classes

    async def admit(self, attributes: Attributes, obj: Pod, old: Pod | None) -> None:
        if attributes.verb != "create" or attributes.subresource:
            return
        name, overhead = obj.spec.runtime_class_name, None
        if name:
            runtime_class = await self._classes.find(Key("", name))
            if runtime_class is None:
                raise _rejected(obj, f'RuntimeClass "{name}" not found')
            overhead = runtime_class.overhead.pod_fixed if runtime_class.overhead is not None else None
            _place(obj, runtime_class)
        if obj.spec.overhead and not overhead:
            raise _rejected(obj, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if obj.spec.overhead and not _are_equal(obj.spec.overhead, overhead or {}):
            raise _rejected(obj, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        obj.spec.overhead = dict(overhead) if overhead else None


def _are_equal(asked: Mapping[str, Quantity], defined: Mapping[str, Quantity]) -> bool:
    """Whether they are the same amounts, however written. One that cannot be read is equal to none."""
    try:
        return {name: quantity.parse(amount) for name, amount in asked.items()} == {
            name: quantity.parse(amount) for name, amount in defined.items()
        }
    except ValueError:
        return False


def _place(pod: Pod, runtime: NodeRuntimeClass) -> None:
    """Restrict the pod to the nodes that have the runtime. Raises Forbidden if it asks for others."""
    if runtime.scheduling is None:
        return
    selector = dict(pod.spec.node_selector or {})
    for key, value in (runtime.scheduling.node_selector or {}).items():
        if selector.setdefault(key, value) != value:
            raise errors.forbidden(
                "pods", "", meta.name_of(pod), f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )  # fmt: skip
    pod.spec.node_selector = selector or None
    given = [codec.copy(toleration) for toleration in runtime.scheduling.tolerations or ()]
    pod.spec.tolerations = merged(pod.spec.tolerations or [], given) or None


def _rejected(pod: Pod, why: str) -> errors.Forbidden:
    return errors.forbidden("pods", "", meta.name_of(pod), f"pod rejected: {why}")
