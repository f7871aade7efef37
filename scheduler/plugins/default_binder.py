"""Binds a pod with a Binding, which the apiserver accepts once per pod."""

from apimachinery.types import meta_v1
from apimachinery.types.core_v1 import Binding, ObjectReference, Pod
from kube_client import Client
from scheduler.pod_info import PodInfo


class DefaultBinder:
    name = "DefaultBinder"

    def __init__(self, client: Client) -> None:
        self._pods = client.resource(Pod)

    async def bind(self, pod: PodInfo, node: str) -> None:
        namespace, name = pod.key
        binding = Binding(
            # with the UID, so that a pod of the same name made meanwhile is not bound for the old one
            metadata=meta_v1.ObjectMeta(namespace=namespace, name=name, uid=pod.uid),
            target=ObjectReference(kind="Node", name=node),
        )
        await self._pods.create_subresource(name, "binding", binding, namespace=namespace)
