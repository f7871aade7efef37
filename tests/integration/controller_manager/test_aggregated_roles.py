"""A cluster role that is aggregated follows the roles that it selects."""

from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta
from apimachinery.types.rbac_v1 import AggregationRule, ClusterRole, PolicyRule
from kube_client import Client
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

WIDGETS = PolicyRule(verbs=["get", "list"], api_groups=["example.com"], resources=["widgets"])
LABEL = "rbac.authorization.k8s.io/aggregate-to-view"


async def test_default_and_own_roles_gain_and_lose_the_rules_of_labelled_ones(
    client: Client, controller_manager: DaemonProcess
) -> None:
    roles = client.resource(ClusterRole)

    async def rules(name: str) -> list[PolicyRule]:
        return (await roles.get(name)).rules or []

    async def grants_widgets(name: str, is_granted: bool = True) -> bool:
        return (WIDGETS in await rules(name)) is is_granted

    before = {name: await rules(name) for name in ("view", "edit", "admin")}
    selector = LabelSelector(match_labels={"for": "widgets"})
    own = ClusterRole(
        metadata=ObjectMeta(name="own"), aggregation_rule=AggregationRule(cluster_role_selectors=[selector])
    )
    await roles.create(own)
    await roles.create(
        ClusterRole(metadata=ObjectMeta(name="widgets", labels={LABEL: "true", "for": "widgets"}), rules=[WIDGETS])
    )
    for name in ("own", "view", "edit", "admin"):  # each of the last three is a part of the next
        await eventually(lambda name=name: grants_widgets(name))
    await roles.patch("own", {"rules": []}, kind="merge")
    await eventually(lambda: grants_widgets("own"))
    await roles.delete("widgets")
    for name in ("own", "view", "edit", "admin"):
        await eventually(lambda name=name: grants_widgets(name, False))
    assert {name: await rules(name) for name in before} == before
