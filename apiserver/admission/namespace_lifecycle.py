"""Nothing is created in a namespace that does not exist or is terminating, and some namespaces are never deleted."""

from typing import Final

from apimachinery import errors
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Namespace
from apimachinery.types.meta_v1 import StatusCause
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin
from apiserver.registry.store import Store
from apiserver.request import Attributes

IMMORTAL: Final = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin[KubeObject]):
    types = (KubeObject,)

    def __init__(self, namespaces: Store[Namespace]) -> None:
        self._namespaces = namespaces

    async def admit(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if attributes.verb != "create" or not attributes.namespace or isinstance(obj, Namespace):
            return
        namespace = await self._namespaces.find(Key("", attributes.namespace))
        if namespace is None:
            raise errors.not_found("namespaces", "", attributes.namespace)
        if namespace.metadata.deletion_timestamp or namespace.status.phase == "Terminating":
            raise _terminating(attributes)

    async def validate_delete(self, attributes: Attributes, old: KubeObject) -> None:
        if isinstance(old, Namespace) and attributes.verb == "delete" and attributes.name in IMMORTAL:
            raise errors.forbidden("namespaces", "", attributes.name, "this namespace may not be deleted")


def _terminating(attributes: Attributes) -> errors.Forbidden:
    error = errors.forbidden(
        attributes.resource,
        attributes.group,
        attributes.name,
        f"unable to create new content in namespace {attributes.namespace} because it is being terminated",
    )
    cause = StatusCause(
        reason="NamespaceTerminating",
        message=f"namespace {attributes.namespace} is being terminated",
        field="metadata.namespace",
    )
    assert error.details is not None
    error.details.causes = [cause]
    return error
