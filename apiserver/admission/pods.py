"""What the cluster gives each new pod: time on an unavailable node, and a priority."""

from typing import Final

from apimachinery.core.tolerations import NO_EXECUTE
from apimachinery.core.well_known import NOT_READY_TAINT, UNREACHABLE_TAINT
from apimachinery.types.core_v1 import Pod, Toleration
from apiserver.admission import Plugin
from apiserver.registry.scheduling.priorityclasses import SYSTEM_PRIORITIES
from apiserver.request import Attributes

TOLERATION_SECONDS: Final = 300


class DefaultTolerationSeconds(Plugin[Pod]):
    """A pod stays five minutes on a node that is not ready or unreachable, unless it says otherwise.

    Updates get the same: whoever applies a manifest again writes the whole list without these two.
    """

    types = (Pod,)

    async def admit(self, attributes: Attributes, obj: Pod, old: Pod | None) -> None:
        if attributes.subresource:
            return
        tolerations = obj.spec.tolerations or []
        for key in (NOT_READY_TAINT, UNREACHABLE_TAINT):
            # not is_tolerated: upstream compares key and effect alone, whatever the operator and value
            if not any(_is_about(toleration, key) for toleration in tolerations):
                default = Toleration(
                    key=key, operator="Exists", effect=NO_EXECUTE, toleration_seconds=TOLERATION_SECONDS
                )
                tolerations = [*tolerations, default]
        obj.spec.tolerations = tolerations


def _is_about(toleration: Toleration, key: str) -> bool:
    return (toleration.key or "") in ("", key) and (toleration.effect or "") in ("", NO_EXECUTE)


class Priority(Plugin[Pod]):
    """Every pod has a priority; it is 0 without one of the two built-in classes, and may preempt those below it."""

    types = (Pod,)

    async def admit(self, attributes: Attributes, obj: Pod, old: Pod | None) -> None:
        if attributes.subresource:
            return
        if old is not None:  # a manifest that replaces a pod does not name what was filled in
            if obj.spec.priority is None:
                obj.spec.priority = old.spec.priority
            obj.spec.preemption_policy = obj.spec.preemption_policy or old.spec.preemption_policy
            return
        if obj.spec.priority is None:
            obj.spec.priority = SYSTEM_PRIORITIES.get(obj.spec.priority_class_name or "", 0)
        obj.spec.preemption_policy = obj.spec.preemption_policy or "PreemptLowerPriority"
