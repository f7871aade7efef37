"""Whether this node enforces network policies, as a condition of its Node: for people, and for the apiserver's warnings.

The kubelet leaves conditions of others alone. The condition is written when it changes, and again when it is not there.
"""

import logging

from apimachinery import errors, meta
from apimachinery.core import conditions
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types import core_v1
from kube_client import Client

log = logging.getLogger(__name__)


class NodeReport:
    def __init__(self, client: Client, node: str) -> None:
        self._nodes = client.resource(core_v1.Node)
        self.node = node

    async def say(self, reason: str, message: str, *, enforced: bool) -> bool:
        """Whether the Node says so now; it may not be registered yet, and the apiserver may be away."""
        status = "True" if enforced else "False"
        try:
            node = await self._nodes.get(self.node)
            present = conditions.find(node.status.conditions, NETWORK_POLICY_CONDITION)
            if present and (present.status, present.reason, present.message) == (status, reason, message):
                return True
            now = meta.now()
            changed = now if present is None or present.status != status else present.last_transition_time
            condition = core_v1.NodeCondition(
                type=NETWORK_POLICY_CONDITION, status=status, reason=reason, message=message,
                last_heartbeat_time=now, last_transition_time=changed,
            )  # fmt: skip
            patch = {"status": {"conditions": [condition]}}
            await self._nodes.patch(self.node, patch, subresource="status")
        except errors.ApiError as exc:
            log.info("node %s: its condition %s: %s; will retry", self.node, NETWORK_POLICY_CONDITION, exc)
            return False
        return True
