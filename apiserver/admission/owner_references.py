"""The admission plugin ``OwnerReferencesPermissionEnforcement``: owners are only set by who may do what follows from it.

An object goes with its owner, so who changes its owners must be allowed to delete it. An object may hold up the deletion
of its owner (``blockOwnerDeletion``), so who makes it do so must be allowed to write the owner's finalizers.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin, denied
from apiserver.authorization import Authorizer
from apiserver.registry.resources import Resources
from apiserver.request import Attributes

_ANY_FINALIZERS: Final = {"group": "*", "version": "*", "resource": "*", "namespace": "", "name": ""}


class OwnerReferencesPermissionEnforcement(Plugin[KubeObject]):
    types = (KubeObject,)

    def __init__(self, resources: Resources, authorizer: Authorizer) -> None:
        self._resources, self._authorizer = resources, authorizer

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if (attributes.resource, attributes.subresource) == ("pods", "status"):
            return  # it cannot change owners, and kubelets need not know them
        owners = obj.metadata.owner_references or []
        before = (old.metadata.owner_references or []) if old is not None else []
        if owners == before:
            return
        name = attributes.name or obj.metadata.name or ""
        decision = await self._authorizer.decide(replace(attributes, verb="delete", path="", name=name))
        if not decision.allows:
            raise denied(
                attributes, obj, f"cannot set an ownerRef on a resource you can't delete: {decision.reason}, <nil>"
            )
        if blocking := newly_blocking(owners, before):
            await self._check_blocking(attributes, obj, blocking)

    async def _check_blocking(self, attributes: Attributes, obj: KubeObject, owners: list[OwnerReference]) -> None:
        finalize = replace(attributes, verb="update", path="", subresource="finalizers")
        if (await self._authorizer.decide(replace(finalize, **_ANY_FINALIZERS))).allows:
            return
        for owner in owners:
            questions = list(self._questions(finalize, owner))
            if not questions:
                raise denied(
                    attributes, obj, "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                    f'APIVersion {owner.api_version} Kind {owner.kind}: no matches for kind "{owner.kind}" in version '
                    f'"{owner.api_version}"',
                )  # fmt: skip
            for question in questions:
                decision = await self._authorizer.decide(question)
                if not decision.allows:
                    raise denied(
                        attributes, obj, "cannot set blockOwnerDeletion if an ownerReference refers to a resource you "
                        f"can't set finalizers on: {decision.reason}, <nil>",
                    )  # fmt: skip

    def _questions(self, finalize: Attributes, owner: OwnerReference) -> Iterator[Attributes]:
        """Whether the user may finalize the owner, for each resource of its kind; an owner is in the same namespace."""
        group, _, version = owner.api_version.rpartition("/")
        served = self._resources.version(group, version)
        for info in served.infos if served is not None else ():
            resource = info.resource
            if resource.kind == owner.kind:
                yield replace(
                    finalize,
                    group=group,
                    version=version,
                    resource=resource.plural,
                    namespace=finalize.namespace if resource.namespaced else "",
                    name=owner.name,
                )


def newly_blocking(owners: list[OwnerReference], before: list[OwnerReference]) -> list[OwnerReference]:
    """The owners whose deletion the object holds up, and did not before."""
    blocked = {owner.uid for owner in before if owner.block_owner_deletion}
    return [owner for owner in owners if owner.block_owner_deletion and owner.uid not in blocked]
