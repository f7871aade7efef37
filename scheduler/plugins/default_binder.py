"""Binds a pod with a Binding, which the apiserver accepts once per pod."""

from apimachinery.types import meta_v1
from apimachinery.types.core_v1 import Binding, ObjectReference, Pod
from scheduler.framework import Handle
from scheduler.pod_info import PodInfo


class DefaultBinder:
    name = "DefaultBinder"

    def __init__(self, handle: Handle) -> None:
        self._pods_api = handle.client.resource(Pod)

    async def bind(self, pod: PodInfo, node: str) -> None:
        namespace, name = pod.key
        binding = Binding(
            # with the UID, so that a new pod of the same name is not bound in place of the old one
            metadata=meta_v1.ObjectMeta(namespace=namespace, name=name, uid=pod.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        await self._pods_api.create_subresource(name, "binding", binding, namespace=namespace)
