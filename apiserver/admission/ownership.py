"""Who makes an object another's dependent must be allowed to delete it, and may not hold up a stranger's deletion.

The garbage collector deletes dependents on behalf of whoever deletes the owner, and waits for those that block it.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from apimachinery import meta
from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin, denied
from apiserver.authorization import Authorizer
from apiserver.registry.resources import Resources
from apiserver.request import Attributes

_EXEMPT: Final = ("", "pods", "status")
"""What kubelets write, which may delete no pods of others."""


class OwnerReferencesPermissionEnforcement(Plugin[KubeObject]):
    types = (KubeObject,)

    def __init__(self, authorizer: Authorizer, resources: Resources) -> None:
        self._authorizer, self._resources = authorizer, resources

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        owners = obj.metadata.owner_references or []
        before = (old.metadata.owner_references if old is not None else None) or []
        if owners == before or (attributes.group, attributes.resource, attributes.subresource) == _EXEMPT:
            return
        decision = await self._authorizer.decide(replace(attributes, verb="delete", name=meta.name_of(obj)))
        if not decision.allows:
            why = f"cannot set an ownerRef on a resource you can't delete: {decision.reason}"
            raise denied(attributes, obj, why)
        for owner in newly_blocked(owners, before):
            await self._check_finalizers(attributes, obj, owner)

    async def _check_finalizers(self, attributes: Attributes, obj: KubeObject, owner: OwnerReference) -> None:
        """Raises Forbidden unless the user may set the finalizers of the owner, whatever resource its kind is."""
        group, _, version = owner.api_version.rpartition("/")
        served = self._resources.version(group, version)
        infos = [info for info in served.infos if info.resource.kind == owner.kind] if served is not None else []
        if not infos:
            why = (
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f'{owner.api_version} Kind {owner.kind}: no matches for kind "{owner.kind}" in version '
                f'"{owner.api_version}"'
            )
            raise denied(attributes, obj, why)
        for info in infos:
            resource = info.resource
            asked = replace(
                attributes, verb="update", group=group, version=version, resource=resource.plural,
                subresource="finalizers", name=owner.name,
                namespace=(obj.metadata.namespace or "") if resource.namespaced else "",
            )  # fmt: skip
            decision = await self._authorizer.decide(asked)
            if not decision.allows:
                why = (
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers "
                    f"on: {decision.reason}"
                )
                raise denied(attributes, obj, why)


def newly_blocked(owners: Iterable[OwnerReference], before: Iterable[OwnerReference]) -> list[OwnerReference]:
    """Those whose deletion would wait for the object now, and would not have before."""
    blocked = {owner.uid for owner in before if owner.block_owner_deletion}
    return [owner for owner in owners if owner.block_owner_deletion and owner.uid not in blocked]
