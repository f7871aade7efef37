"""Nothing is made in a namespace that does not exist or is on its way out, and some namespaces never go."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from apimachinery import errors
from apimachinery.types.core_v1 import Namespace
from apimachinery.types.meta_v1 import StatusCause
from apiserver.admission import Plugin
from apiserver.request import Attributes

IMMORTAL: Final = ("default", "kube-system", "kube-public")

FindNamespace = Callable[[str], Awaitable[Namespace | None]]


class NamespaceLifecycle(Plugin):
    """``find`` must show a namespace that was created just before."""

    def __init__(self, find: FindNamespace) -> None:
        self._find = find

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.resource == "namespaces" and not attributes.group:
            if attributes.verb == "delete" and attributes.name in IMMORTAL:
                raise errors.forbidden("namespaces", "", attributes.name, "this namespace may not be deleted")
            return
        if attributes.verb != "create" or not attributes.namespace:
            return
        namespace = await self._find(attributes.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", "", attributes.namespace)
        if namespace.metadata.deletion_timestamp or namespace.status.phase == "Terminating":
            raise _terminating(attributes)


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
