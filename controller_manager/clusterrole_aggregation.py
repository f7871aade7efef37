"""Gives each cluster role with an ``aggregationRule`` the rules of all cluster roles that it selects by their labels.

What somebody else writes into its rules is lost. Facts of Kubernetes' clusterrole-aggregation-controller.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.selectors import from_label_selector
from apimachinery.types.rbac_v1 import ClusterRole, PolicyRule
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_WORKERS: Final = 5
_BY_AGGREGATION: Final = "aggregated"


class ClusterRoleAggregation:
    def __init__(self, context: ControllerContext) -> None:
        self._roles_api = context.client.resource(ClusterRole)
        self._roles = context.informer(ClusterRole, indexes={_BY_AGGREGATION: _is_aggregated})
        self._queue = WorkQueue[Key]("clusterrole_aggregation")
        self._roles.on_change(self._on_role)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        role = self._roles.get(key)
        if role is None or meta.is_being_deleted(role):
            return
        rules = aggregated_rules(role, self._roles.list())
        if rules is None or rules == (role.rules or []):
            return
        changed = codec.copy(role)
        changed.rules = rules
        with suppress(errors.NotFound):
            await self._roles_api.update(changed)
            log.info("%s: now %d rules of the cluster roles that it selects", key.name, len(rules))

    def _on_role(self, old: ClusterRole | None, new: ClusterRole | None) -> None:
        """Any may select any; there are few that select."""
        for role in self._roles.by_index(_BY_AGGREGATION, True):
            self._queue.add(meta.key_of(role))


def _is_aggregated(role: ClusterRole) -> tuple[bool, ...]:
    return (True,) if role.aggregation_rule is not None else ()


def aggregated_rules(role: ClusterRole, roles: Iterable[ClusterRole]) -> list[PolicyRule] | None:
    """The rules of the others that a role selects, each once, by selector and name; None if it selects none by rule.

    Raises:
        ValueError: a selector is none, which the apiserver does not let pass.
    """
    if role.aggregation_rule is None:
        return None
    others = sorted((other for other in roles if meta.name_of(other) != meta.name_of(role)), key=meta.name_of)
    rules: list[PolicyRule] = []
    for wire in role.aggregation_rule.cluster_role_selectors or ():
        selector = from_label_selector(wire)
        for other in others:
            if selector.matches(meta.labels_of(other)):
                rules += [rule for rule in other.rules or () if rule not in rules]
    return rules
