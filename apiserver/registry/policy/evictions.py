"""``pods/eviction``: a delete that a disruption budget may refuse."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from apimachinery import errors, meta
from apimachinery.core import conditions, pods
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, PodCondition
from apimachinery.types.meta_v1 import DeleteOptions, Preconditions, StatusCause, StatusDetails
from apimachinery.types.policy_v1 import Eviction, PodDisruptionBudget
from apiserver.registry import field_rules
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store
from apiserver.registry.strategy import PostedStrategy
from apiserver.registry.subresources import PostedSubresource
from apiserver.request import Attributes

_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_PROTECTED: Final = "Running"


class EvictionSubresource(PostedSubresource[Pod, Eviction]):
    """``resources`` contains the budgets."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(Eviction)
        self._resources = resources

    async def post(self, store: Store[Pod], attributes: Attributes, key: Key, obj: Eviction) -> None:
        """Delete the pod if its budget allows.

        Raises:
            TooManyRequests: the budget allows no disruption now, or has not been looked at since it was changed.
            InternalError: several budgets are about the pod.
        """
        options = obj.delete_options or DeleteOptions()
        dry_run = attributes.dry_run or bool(options.dry_run)
        attributes = replace(attributes, verb="delete", subresource="", dry_run=dry_run)
        pod = (await store.get(key)).object
        if pod.status.phase == _PROTECTED and pod.metadata.deletion_timestamp is None:
            await _take_from_budget(self._resources.store(PodDisruptionBudget), attributes, pod)
        if options.preconditions is None:  # the pod that was judged is deleted, not another of its name
            options.preconditions = Preconditions(uid=pod.metadata.uid)
        if not attributes.dry_run:
            await store.modify(attributes, key, _announce, PostedStrategy())
        await store.delete(attributes, key, options)


def _announce(pod: Pod) -> None:
    """Write the condition that says why the pod is deleted."""
    condition = PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        last_transition_time=meta.now(),
    )
    pod.status.conditions = conditions.set_condition(pod.status.conditions, condition)


async def _take_from_budget(budgets: Store[PodDisruptionBudget], attributes: Attributes, pod: Pod) -> None:
    await budgets.cache.wait_current()
    matching = [
        budget
        for budget in budgets.all_cached(meta.namespace_of(pod))
        if budget.spec.selector is not None and field_rules.selects(budget.spec.selector, pod.metadata.labels)
    ]
    if not matching:
        return
    if len(matching) > 1:
        raise errors.InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if not pods.is_ready(pod) and _spares_unready(matching[0]):
        return
    attributes = replace(attributes, group="policy", resource="poddisruptionbudgets", subresource="status")
    await budgets.modify(attributes, meta.key_of(matching[0]), _count_disruption(pod), PostedStrategy())


def _spares_unready(budget: PodDisruptionBudget) -> bool:
    """Whether an unready pod may be evicted without being counted."""
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    desired = budget.status.desired_healthy or 0
    return 0 < desired <= (budget.status.current_healthy or 0)


def _count_disruption(pod: Pod) -> Callable[[PodDisruptionBudget], None]:
    """Takes one disruption from the budget. Raises TooManyRequests if there is none left."""

    def count(budget: PodDisruptionBudget) -> None:
        status, name = budget.status, meta.name_of(budget)
        if (status.observed_generation or 0) < (budget.metadata.generation or 0):
            raise _too_many(f"The disruption budget {name} is still being processed by the server.", retry_after=10)
        if (status.disruptions_allowed or 0) <= 0:
            raise _too_many(
                f"The disruption budget {name} needs {status.desired_healthy or 0} healthy pods and has "
                f"{status.current_healthy or 0} currently"
            )
        status.disruptions_allowed = (status.disruptions_allowed or 0) - 1
        status.disrupted_pods = {**(status.disrupted_pods or {}), meta.name_of(pod): meta.now()}

    return count


def _too_many(why: str, retry_after: int = 0) -> errors.TooManyRequests:
    cause = StatusCause(reason="DisruptionBudget", message=why)
    return errors.TooManyRequests(_REFUSED, details=StatusDetails(causes=[cause]), retry_after=retry_after)
