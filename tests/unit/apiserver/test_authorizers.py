"""Several authorizers as one, and how a refusal is worded."""

import pytest

from apimachinery import errors
from apiserver import authorization
from apiserver.authorization import AlwaysAllow, AlwaysDeny, Decision, Masters, Rules, Union
from apiserver.request import Attributes, User

ANN, ROOT = User("ann"), User("root", groups=("system:masters",))


class Fixed:
    """Says the same about everything."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    async def decide(self, attributes: Attributes) -> Decision:
        return self._decision

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules(is_incomplete=True, error="single questions only")


def asked(user: User = ANN, **more: str) -> Attributes:
    return Attributes(user, more.pop("verb", "list"), more.pop("path", "/x"), **{"resource": "pods", **more})  # type: ignore[arg-type]


async def test_the_first_opinion_decides() -> None:
    undecided, refusing = Fixed(Decision("no opinion", "not mine")), Fixed(Decision("deny"))
    assert (await Union([undecided, AlwaysAllow(), refusing]).decide(asked())).allows
    assert (await Union([undecided, refusing, AlwaysAllow()]).decide(asked())).outcome == "deny"
    assert (await Union([AlwaysDeny(), AlwaysAllow()]).decide(asked())).allows, "which is no opinion, as in Kubernetes"


async def test_nothing_is_allowed_without_an_opinion_and_all_reasons_are_given() -> None:
    decision = await Union([Fixed(Decision("no opinion", why)) for why in ("a", "", "b")]).decide(asked())
    assert (decision.allows, decision.reason) == (False, "a; b")


async def test_the_masters_pass_before_anybody_else_is_asked() -> None:
    union = Union([Masters(), AlwaysDeny()])
    assert (await union.decide(asked(ROOT))).allows
    assert not (await union.decide(asked())).allows


def test_the_rules_of_all_are_listed() -> None:
    rules = Union([Masters(), Fixed(authorization.NO_OPINION)]).rules_for(ROOT, "default")
    assert rules.resource == authorization.EVERYTHING.resource
    assert (rules.is_incomplete, rules.error) == (True, "single questions only")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (
            asked(namespace="default"),
            'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            asked(verb="get", group="apps", resource="deployments", subresource="scale", name="web", namespace="x"),
            'deployments.apps "web" is forbidden: User "ann" cannot get resource "deployments/scale" in API group '
            '"apps" in the namespace "x"',
        ),
        (
            asked(resource="nodes"),
            'nodes is forbidden: User "ann" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (asked(verb="get", resource="", path="/metrics"), 'forbidden: User "ann" cannot get path "/metrics"'),
    ],
)
async def test_a_refusal_says_what_kubernetes_says(attributes: Attributes, says: str) -> None:
    with pytest.raises(errors.Forbidden) as refusal:
        await Union([Fixed(authorization.NO_OPINION)]).authorize(attributes)
    assert refusal.value.message == says
    with pytest.raises(errors.Forbidden) as refusal:
        await Union([Fixed(Decision("deny", "because"))]).authorize(attributes)
    assert refusal.value.message == f"{says}: because"
