"""A kube-proxy's identity, which all nodes have, changes one condition of a node and nothing else."""

import pytest

from apimachinery import codec, errors
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.proxy_restriction import ProxyRestriction
from apiserver.request import Attributes, User

READY = v1.NodeCondition(type="Ready", status="True")
OWN = v1.NodeCondition(type=NETWORK_POLICY_CONDITION, status="False")


def node(*conditions: v1.NodeCondition, address: str = "192.0.2.1") -> v1.Node:
    status = v1.NodeStatus(conditions=list(conditions), addresses=[v1.NodeAddress(type="InternalIP", address=address)])
    return v1.Node(metadata=ObjectMeta(name="node-1", labels={"a": "b"}), status=status)


async def validated(new: v1.Node, user: str = "system:kube-proxy") -> None:
    attributes = Attributes(User(user), "patch", "", resource="nodes", subresource="status", name="node-1")
    await ProxyRestriction().validate(attributes, new, node(READY))


async def test_the_condition_about_network_policies_may_change() -> None:
    await validated(node(READY, OWN))
    written = node(OWN, READY)
    written.metadata.resource_version = "7"
    await validated(written)


@pytest.mark.parametrize(
    "new",
    [
        node(OWN),
        node(v1.NodeCondition(type="Ready", status="Unknown"), OWN),
        node(READY, OWN, address="192.0.2.66"),
        codec.decode(codec.encode(node(READY, OWN)).replace(b'"a":"b"', b'"a":"c"'), v1.Node),
    ],
    ids=["another condition gone", "another condition changed", "an address", "a label"],
)
async def test_nothing_else_may(new: v1.Node) -> None:
    with pytest.raises(errors.Forbidden, match="may change nothing of a node but its condition"):
        await validated(new)
    await validated(new, "kubernetes-admin")
