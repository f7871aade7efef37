"""OwnerReferencesPermissionEnforcement asks the authorizer the right questions, and few."""

from ipaddress import IPv4Network

import pytest

from apimachinery import errors
from apimachinery.types.core_v1 import ConfigMap
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from apiserver.authorization import ALLOW, Decision, Rules
from apiserver.registry.builtin import builtin
from apiserver.registry.resource import ResourceInfo, Served
from apiserver.registry.resources import Resources
from apiserver.request import Attributes, User
from tests.objects import make_pod

CREATE = Attributes(User("ann"), "create", "", "", "v1", "configmaps", namespace="ns")
Question = tuple[str, str, str, str, str]
DELETE: Question = ("delete", "configmaps", "", "ns", "a")
ANY_FINALIZERS: Question = ("update", "*", "finalizers", "", "")


class Asked:
    """Allows what it is told to, and keeps the questions."""

    def __init__(self, *allowed: Question) -> None:
        self._allowed, self.questions = allowed, list[Question]()

    async def decide(self, attributes: Attributes) -> Decision:
        question = (
            attributes.verb, attributes.resource, attributes.subresource, attributes.namespace, attributes.name,
        )  # fmt: skip
        self.questions.append(question)
        return ALLOW if question in self._allowed else Decision("no opinion", "no role")

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules()


class Known(Served[ConfigMap]):
    def __init__(self, info: ResourceInfo[ConfigMap]) -> None:
        self.info = info


@pytest.fixture(scope="module")
def resources() -> Resources:
    table = Resources()
    for info in builtin(Resources(), IPv4Network("10.0.0.0/24"), range(30000, 30010)):
        table.add(Known(info))
    return table


def owner(kind: str = "Deployment", version: str = "apps/v1", *, blocks: bool | None = None) -> OwnerReference:
    return OwnerReference(api_version=version, kind=kind, name="o", uid=f"{kind}-1", block_owner_deletion=blocks)


def owned(*owners: OwnerReference) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="a", owner_references=list(owners) or None))


async def test_nobody_is_asked_unless_owners_change(resources: Resources) -> None:
    asked = Asked()
    plugin = OwnerReferencesPermissionEnforcement(resources, asked)
    await plugin.validate(CREATE, owned(), None)
    await plugin.validate(CREATE, owned(owner(blocks=True)), owned(owner(blocks=True)))
    status = Attributes(User("kubelet"), "patch", "", "", "v1", "pods", "status", "ns", "a")
    await plugin.validate(status, owned(owner()), make_pod())
    assert asked.questions == []


async def test_who_sets_an_owner_must_be_allowed_to_delete(resources: Resources) -> None:
    asked = Asked(DELETE)
    await OwnerReferencesPermissionEnforcement(resources, asked).validate(CREATE, owned(owner()), None)
    assert asked.questions == [DELETE]
    denying = OwnerReferencesPermissionEnforcement(resources, Asked())
    for new, old in ((owned(owner()), None), (owned(), owned(owner()))):
        with pytest.raises(errors.Forbidden) as refused:
            await denying.validate(CREATE, new, old)
        assert refused.value.message == (
            'configmaps "a" is forbidden: cannot set an ownerRef on a resource you can\'t delete: no role, <nil>'
        )


@pytest.mark.parametrize(
    ("reference", "question"),
    [
        (owner(blocks=True), ("update", "deployments", "finalizers", "ns", "o")),
        (owner("Node", "v1", blocks=True), ("update", "nodes", "finalizers", "", "o")),
    ],
)
async def test_who_blocks_an_owner_must_be_allowed_to_finalize_it(
    resources: Resources, reference: OwnerReference, question: Question
) -> None:
    asked = Asked(DELETE, question)
    await OwnerReferencesPermissionEnforcement(resources, asked).validate(CREATE, owned(reference), None)
    assert asked.questions == [DELETE, ANY_FINALIZERS, question]
    with pytest.raises(errors.Forbidden, match="refers to a resource you can't set finalizers on: no role, <nil>"):
        await OwnerReferencesPermissionEnforcement(resources, Asked(DELETE)).validate(CREATE, owned(reference), None)


async def test_an_owner_that_begins_to_be_blocked_counts(resources: Resources) -> None:
    asked = Asked(DELETE, ANY_FINALIZERS)
    plugin = OwnerReferencesPermissionEnforcement(resources, asked)
    await plugin.validate(CREATE, owned(owner(blocks=True)), owned(owner(blocks=False)))
    assert asked.questions == [DELETE, ANY_FINALIZERS]
    asked.questions.clear()
    await plugin.validate(CREATE, owned(owner(blocks=False)), owned(owner(blocks=True)))
    assert asked.questions == [DELETE]


async def test_an_owner_of_an_unknown_kind_cannot_be_blocked(resources: Resources) -> None:
    unknown = owned(owner("Ghost", "example.com/v1", blocks=True))
    with pytest.raises(errors.Forbidden, match=r'no matches for kind "Ghost" in version "example\.com/v1"'):
        await OwnerReferencesPermissionEnforcement(resources, Asked(DELETE)).validate(CREATE, unknown, None)
    anybody = Asked(DELETE, ANY_FINALIZERS)
    await OwnerReferencesPermissionEnforcement(resources, anybody).validate(CREATE, unknown, None)
