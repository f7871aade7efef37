"""What the cluster gives each new pod: patience with a node that is away, and a priority."""

from typing import Any, Final

from apimachinery.types.core_v1 import Pod, Toleration
from apiserver.admission import Plugin
from apiserver.request import Attributes

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
TOLERATION_SECONDS: Final = 300


class DefaultTolerationSeconds(Plugin):
    """A pod stays five minutes on a node that is not ready or unreachable, unless it says otherwise.

    Updates are given the same: whoever applies a manifest again writes the whole list without these two.
    """

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.subresource or not isinstance(obj, Pod):
            return
        tolerations = obj.spec.tolerations or []
        for key in (NOT_READY, UNREACHABLE):
            if not any(_tolerates(one, key) for one in tolerations):
                tolerations = [*tolerations, _for_a_while(key)]
        obj.spec.tolerations = tolerations


def _tolerates(toleration: Toleration, key: str) -> bool:
    return (toleration.key or "") in ("", key) and (toleration.effect or "") in ("", "NoExecute")


def _for_a_while(key: str) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=TOLERATION_SECONDS)


SYSTEM_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Priority(Plugin):
    """Every pod has a priority; it is 0 without one of the two built-in classes, and may push out those below it."""

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.subresource or not isinstance(obj, Pod):
            return
        if isinstance(old, Pod):  # a manifest that replaces a pod does not name what was filled in
            if obj.spec.priority is None:
                obj.spec.priority = old.spec.priority
            obj.spec.preemption_policy = obj.spec.preemption_policy or old.spec.preemption_policy
            return
        if obj.spec.priority is None:
            obj.spec.priority = SYSTEM_PRIORITIES.get(obj.spec.priority_class_name or "", 0)
        obj.spec.preemption_policy = obj.spec.preemption_policy or "PreemptLowerPriority"
