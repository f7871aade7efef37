"""``pods/eviction``: a delete that a disruption budget may refuse."""

from typing import Any, Final

from msgspec.structs import replace

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, PodCondition
from apimachinery.types.meta_v1 import DeleteOptions, Preconditions, StatusCause, StatusDetails
from apimachinery.types.policy_v1 import Eviction, PodDisruptionBudget
from apiserver.registry import deletion, field_rules
from apiserver.registry.policy.poddisruptionbudgets import POD_DISRUPTION_BUDGETS
from apiserver.registry.resource import PostedAction, Subresource
from apiserver.registry.store import Store
from apiserver.registry.strategy import PostedStrategy
from apiserver.request import Attributes

_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_PROTECTED: Final = "Running"


async def evict(store: Store[Pod], attributes: Attributes, key: Key, eviction: Eviction) -> None:
    """Delete the pod if its budget allows.

    Raises:
        TooManyRequests: the budget allows no disruption now, or has not been looked at since it was changed.
        InternalError: several budgets are about the pod.
    """
    if eviction.metadata.name and eviction.metadata.name != key.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    options = eviction.delete_options or DeleteOptions()
    attributes = replace(attributes, verb="delete", subresource="", dry_run=attributes.dry_run or bool(options.dry_run))
    pod = (await store.get(key)).object
    if pod.status.phase == _PROTECTED and pod.metadata.deletion_timestamp is None:
        budgets = Store(POD_DISRUPTION_BUDGETS, store.storage, store.admission)
        await _take_from_budget(budgets, attributes, pod)
    # what was judged is what goes, not a pod that has taken its name since
    if options.preconditions is None:
        options.preconditions = Preconditions(uid=pod.metadata.uid)
    if not attributes.dry_run:
        await store.update(attributes, key, _announced, PostedStrategy())
    await deletion.delete(store, attributes, key, options)


def _announced(current: Pod | None) -> Pod:
    """The pod with the condition that tells why it goes."""
    pod: Pod = codec.copy(current)  # type: ignore[assignment]
    condition = PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        last_transition_time=meta.now(),
    )
    others = [one for one in pod.status.conditions or () if one.type != condition.type]
    pod.status.conditions = [*others, condition]
    return pod


async def _take_from_budget(budgets: Store[PodDisruptionBudget], attributes: Attributes, pod: Pod) -> None:
    await budgets.cache.wait_current()
    prefix = budgets.info.storage_prefix(meta.namespace_of(pod))
    found = [
        one.object
        for one in budgets.cache.items(prefix)[0]
        if one.object.spec.selector is not None and field_rules.selects(one.object.spec.selector, pod.metadata.labels)
    ]
    if not found:
        return
    if len(found) > 1:
        raise errors.InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    budget = found[0]
    if not _is_ready(pod) and _spares_unready(budget):
        return
    await budgets.update(
        replace(attributes, group="policy", resource="poddisruptionbudgets", subresource="status"),
        meta.key_of(budget),
        lambda current: _one_less(current, pod),
        PostedStrategy(),
    )


def _is_ready(pod: Pod) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())


def _spares_unready(budget: PodDisruptionBudget) -> bool:
    """Whether a pod that serves nobody may go without being counted."""
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    wanted = budget.status.desired_healthy or 0
    return 0 < wanted <= (budget.status.current_healthy or 0)


def _one_less(current: PodDisruptionBudget | None, pod: Pod) -> PodDisruptionBudget:
    """The budget after one more disruption. Raises TooManyRequests if there is none left."""
    budget: PodDisruptionBudget = codec.copy(current)  # type: ignore[assignment]
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
    return budget


def _too_many(why: str, retry_after: int = 0) -> errors.TooManyRequests:
    cause = StatusCause(reason="DisruptionBudget", message=why)
    return errors.TooManyRequests(_REFUSED, details=StatusDetails(causes=[cause]), retry_after=retry_after)


async def _run(store: Any, attributes: Attributes, key: Key, eviction: Any) -> None:
    await evict(store, attributes, key, eviction)


EVICTION: Final = Subresource(("create",), action=PostedAction(Eviction, _run), kind="Eviction")
