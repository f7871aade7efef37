"""Which flow and level a request has by the default objects, and what happens when these change."""

import asyncio

import pytest

from apimachinery import errors
from apimachinery.types import flowcontrol_v1 as fc
from apiserver.bootstrap import flowcontrol as defaults
from apiserver.flowcontrol import FlowController, controller
from apiserver.request import Attributes, User

MASTERS, ALL = "system:masters", "system:authenticated"


class Stored:
    """The default objects, or others."""

    def __init__(self) -> None:
        self.number = 1
        self.flow_schemas, self.priority_levels = defaults.schemas(), defaults.levels()
        for stored in (*self.flow_schemas, *self.priority_levels):
            stored.metadata.uid = f"uid-of-{stored.metadata.name}"

    def version(self) -> int:
        return self.number

    def schemas(self) -> list[fc.FlowSchema]:
        return self.flow_schemas

    def levels(self) -> list[fc.PriorityLevelConfiguration]:
        return self.priority_levels


def attributes(user: str, *groups: str, verb: str = "get", resource: str = "pods", **more: str) -> Attributes:
    where = {"namespace": "default", "path": "", **more}
    return Attributes(User(user, groups=(*groups, ALL)), verb, resource=resource, **where)  # type: ignore[arg-type]


KCM, LEASES = "system:kube-controller-manager", "coordination.k8s.io"


@pytest.mark.parametrize(
    ("request_", "schema", "level"),
    [
        (attributes("admin", MASTERS), "exempt", "exempt"),
        (attributes("ann"), "global-default", "global-default"),
        (attributes("system:node:n", "system:nodes"), "system-nodes", "system"),
        (attributes("system:node:n", "system:nodes", resource="nodes", namespace="", subresource="status"),
         "system-node-high", "node-high"),
        (attributes("system:node:n", "system:nodes", verb="update", resource="leases", group=LEASES),
         "system-node-high", "node-high"),
        (attributes(KCM, verb="update", resource="leases", group=LEASES, namespace="kube-system"),
         "system-leader-election", "leader-election"),
        (attributes(KCM), "kube-controller-manager", "workload-high"),
        (attributes("system:serviceaccount:kube-system:x"), "kube-system-service-accounts", "workload-high"),
        (attributes("system:serviceaccount:kube-systematic:x", "system:serviceaccounts"),
         "service-accounts", "workload-low"),
        (attributes("ann", resource="", path="/openapi/v3"), "global-default", "global-default"),
        (attributes("ann", resource="", path="/healthz"), "probes", "exempt"),
    ],
)  # fmt: skip
def test_the_default_objects_give_everybody_a_place(request_: Attributes, schema: str, level: str) -> None:
    flow = FlowController(Stored(), 100).flow(request_)
    assert (flow.schema, flow.level.name) == (schema, level)
    assert dict(flow.headers) == {
        b"x-kubernetes-pf-flowschema-uid": f"uid-of-{schema}".encode(),
        b"x-kubernetes-pf-prioritylevel-uid": f"uid-of-{level}".encode(),
    }


def test_users_are_flows_of_their_own_and_so_are_namespaces() -> None:
    flows = FlowController(Stored(), 100)
    assert flows.flow(attributes("ann")).name != flows.flow(attributes("bob")).name
    assert flows.flow(attributes("ann")).name == flows.flow(attributes("ann", verb="list")).name
    one, other = (flows.flow(attributes(KCM, namespace=namespace)).name for namespace in ("a", "b"))
    assert one != other


def test_a_change_of_what_is_stored_holds_from_the_next_request_on() -> None:
    stored = Stored()
    flows = FlowController(stored, 100)
    assert flows.flow(attributes("ann")).schema == "global-default"
    mine = fc.FlowSchema(
        spec=fc.FlowSchemaSpec(
            priority_level_configuration=fc.PriorityLevelConfigurationReference(name="workload-high"),
            matching_precedence=5,
            rules=[
                fc.PolicyRulesWithSubjects(
                    subjects=[fc.Subject(kind="User", user=fc.UserSubject(name="ann"))],
                    resource_rules=[
                        fc.ResourcePolicyRule(
                            api_groups=["*"], verbs=["get"], resources=["pods"], namespaces=["default"]
                        )
                    ],
                )
            ],
        )
    )
    mine.metadata.name = mine.metadata.uid = "mine"
    stored.flow_schemas.append(mine)
    stored.number += 1
    assert (flows.flow(attributes("ann")).schema, flows.flow(attributes("ann")).level.name) == ("mine", "workload-high")
    assert flows.flow(attributes("ann", namespace="other")).schema == "global-default"
    assert flows.flow(attributes("ann", verb="delete")).schema == "global-default"
    assert flows.flow(attributes("bob")).schema == "global-default"


def test_before_anything_is_loaded_everybody_is_served() -> None:
    stored = Stored()
    stored.flow_schemas, stored.priority_levels = [], []
    flows = FlowController(stored, 100)
    assert flows.flow(attributes("admin", MASTERS)).is_exempt
    assert flows.flow(attributes("ann")).level.name == "catch-all"


async def test_a_flood_waits_and_is_refused_while_another_user_is_served() -> None:
    flows = FlowController(Stored(), 100)
    flood, other = flows.flow(attributes("ann")), flows.flow(attributes("bob"))
    assert flood.level is other.level
    requests = [asyncio.create_task(flows.admit(flood, 1)) for _ in range(500)]
    await asyncio.sleep(0)
    refused = [request for request in requests if request.done() and request.exception()]
    assert 0 < flood.level.seats < 50
    assert flood.level.waiting == 300  # a hand of six queues with fifty places
    assert len(refused) == 500 - 300 - flood.level.seats
    fault = refused[0].exception()
    assert isinstance(fault, errors.TooManyRequests)
    assert fault.retry_after == 1
    async with asyncio.timeout(1):
        (await flows.admit(other, 1)).leave()
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    assert flood.level.waiting == 0


async def test_who_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "WAIT", 0.01)
    flows = FlowController(Stored(), 100)
    flow = flows.flow(attributes("ann"))
    while flow.level.enter(flow.name) is None:
        continue
    with pytest.raises(errors.TooManyRequests):
        await flows.admit(flow, 1)
    assert flow.level.waiting == 1  # the one of the loop above


def test_watches_are_counted_for_each_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "WATCHES", 2)
    flows = FlowController(Stored(), 100)
    ann, admin = flows.flow(attributes("ann", verb="watch")), flows.flow(attributes("admin", MASTERS, verb="watch"))
    with flows.watching(ann, "ann"), flows.watching(ann, "ann"):
        with pytest.raises(errors.TooManyRequests, match='user "ann" has 2 watches open'), flows.watching(ann, "ann"):
            pass
        with flows.watching(flows.flow(attributes("bob", verb="watch")), "bob"):
            pass
        for _ in range(3):
            flows.watching(admin, "admin").__enter__()
    with flows.watching(ann, "ann"):
        pass


def test_the_seats_of_all_levels_are_what_there_are() -> None:
    flows = FlowController(Stored(), 245)
    flows.flow(attributes("ann"))
    capacities = {name: level._capacity for name, level in flows._levels.items()}
    assert capacities["exempt"] is None
    leader = capacities["leader-election"]
    assert leader is not None
    assert leader.guaranteed == 10  # lends nothing
    guaranteed = sum(capacity.guaranteed for capacity in capacities.values() if capacity is not None)
    assert guaranteed + flows._pool.free == 245
