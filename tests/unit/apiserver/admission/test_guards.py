"""Plugins that refuse: external addresses of services, and owners that a user may not give."""

from typing import Any

import pytest

from apimachinery import codec, errors
from apimachinery.types.core_v1 import ConfigMap, Service
from apiserver.admission.external_ips import DenyServiceExternalIPs
from apiserver.admission.ownership import OwnerReferencesPermissionEnforcement
from apiserver.authorization import ALLOW, EVERYTHING, Decision, Rules
from apiserver.registry.resources import Resources
from apiserver.request import Attributes, User
from tests.unit.apiserver.registry.rows import ROWS


def service(*addresses: str) -> Service:
    return codec.from_builtins({"metadata": {"name": "s"}, "spec": {"externalIPs": addresses}}, Service)


SERVICES = Attributes(User("ann"), "update", "", resource="services", namespace="default")


@pytest.mark.parametrize(
    ("new", "old"),
    [(service(), None), (service("1.2.3.4"), service("1.2.3.4", "5.6.7.8")), (service(), service("1.2.3.4"))],
)
async def test_external_addresses_may_stay_and_go(new: Service, old: Service | None) -> None:
    await DenyServiceExternalIPs().validate(SERVICES, new, old)


@pytest.mark.parametrize(
    ("new", "old"), [(service("1.2.3.4"), None), (service("1.2.3.4", "5.6.7.8"), service("1.2.3.4"))]
)
async def test_no_external_address_is_added(new: Service, old: Service | None) -> None:
    with pytest.raises(errors.Forbidden) as refusal:
        await DenyServiceExternalIPs().validate(SERVICES, new, old)
    assert refusal.value.message == 'services "s" is forbidden: Use of external IPs is denied by admission control.'


class Allowing:
    """Allows some verbs on some resources."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed

    async def decide(self, attributes: Attributes) -> Decision:
        subresource = f"/{attributes.subresource}" if attributes.subresource else ""
        asked = f"{attributes.verb} {attributes.resource}{subresource} {attributes.namespace}/{attributes.name}"
        return ALLOW if asked in self._allowed else Decision("no opinion", asked)

    def rules_for(self, user: User, namespace: str) -> Rules:
        return EVERYTHING


class _Row:
    def __init__(self, info: Any) -> None:
        self.info = info


def resources() -> Resources:
    made = Resources()
    for info in ROWS:
        made.add(_Row(info))  # type: ignore[arg-type]
    return made


RESOURCES = resources()
CREATES = Attributes(User("ann"), "create", "", resource="configmaps", namespace="default")


def owned(kind: str = "", api_version: str = "v1", *, blocks: bool = False) -> ConfigMap:
    owners = [{"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks}]
    metadata = {"name": "m", "namespace": "default", "ownerReferences": owners if kind else []}
    return codec.from_builtins({"metadata": metadata}, ConfigMap)


async def judged(new: ConfigMap, old: ConfigMap | None, *allowed: str) -> str:
    try:
        await OwnerReferencesPermissionEnforcement(Allowing(*allowed), RESOURCES).validate(CREATES, new, old)
    except errors.Forbidden as refusal:
        return refusal.message.removeprefix('configmaps "m" is forbidden: ')
    return ""


DELETE = "delete configmaps default/m"


async def test_who_gives_an_owner_must_be_allowed_to_delete() -> None:
    assert await judged(owned(), None) == ""
    assert await judged(owned("Pod"), owned("Pod")) == ""
    assert await judged(owned("Pod"), None) == f"cannot set an ownerRef on a resource you can't delete: {DELETE}"
    assert await judged(owned(), owned("Pod")) == f"cannot set an ownerRef on a resource you can't delete: {DELETE}"
    assert await judged(owned("Pod"), None, DELETE) == ""


async def test_who_blocks_a_deletion_must_be_allowed_to_set_finalizers() -> None:
    on_pod, on_node = "update pods/finalizers default/o", "update nodes/finalizers /o"
    assert await judged(owned("Pod", blocks=True), None, DELETE) == (
        f"cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {on_pod}"
    )
    assert await judged(owned("Pod", blocks=True), None, DELETE, on_pod) == ""
    assert await judged(owned("Node", blocks=True), None, DELETE, on_node) == ""
    assert await judged(owned("Pod", blocks=True), owned("Pod", "v2", blocks=True), DELETE) == ""
    assert await judged(owned("Widget", "example.com/v1", blocks=True), None, DELETE) == (
        "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion example.com/v1 Kind "
        'Widget: no matches for kind "Widget" in version "example.com/v1"'
    )
