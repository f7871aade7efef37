"""What kube-proxies may write of a Node: whether it enforces network policies.

All proxies share one identity, so each could write the status of every node. That must not be a way from a stolen node to
others: of their status nothing but that one condition is changed by it.
"""

from typing import Final

from apimachinery import codec, errors
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types.core_v1 import Node
from apiserver.admission import Plugin
from apiserver.request import Attributes

_PROXY: Final = "system:kube-proxy"


class ProxyRestriction(Plugin[Node]):
    types = (Node,)

    async def validate(self, attributes: Attributes, obj: Node, old: Node | None) -> None:
        if attributes.user.name != _PROXY or old is None:
            return
        if _without_own_condition(obj) != _without_own_condition(old):
            why = f"{_PROXY} may change nothing of a node but its condition {NETWORK_POLICY_CONDITION}"
            raise errors.forbidden("nodes", "", attributes.name, why)


def _without_own_condition(node: Node) -> Node:
    rest = codec.copy(node)
    rest.metadata.managed_fields = rest.metadata.resource_version = None
    rest.status.conditions = [
        condition for condition in rest.status.conditions or () if condition.type != NETWORK_POLICY_CONDITION
    ] or None
    return rest
