"""The informers that the controllers share: one watch per resource, whoever reads it.

They run whether this process leads or not, so that a new leader starts with warm caches.
"""

import asyncio
from collections.abc import Hashable, Iterator
from typing import Any, Final

from apimachinery import meta
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import (
    ConfigMap,
    Endpoints,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ReplicationController,
    Secret,
    Service,
    ServiceAccount,
)
from apimachinery.types.discovery_v1 import EndpointSlice
from apimachinery.types.objects import KubeObject
from apimachinery.types.storage_v1 import StorageClass
from kube_client import Client, Informer

BY_NAMESPACE: Final = "namespace"
BY_NODE: Final = "node"
BY_CONTROLLER: Final = "controller"
"""Pods by their managing owner's UID."""
ORPHANS: Final = "orphans"
"""Pods without a managing owner, by namespace."""
BY_SERVICE: Final = "service"
"""Endpoint slices by the key of their service."""

BY_ACCOUNT: Final = "account"
"""Token secrets by the key of their service account."""
BY_CLAIM: Final = "claim"
"""Pods by the keys of the persistent volume claims that they mount."""

NODE_LEASES: Final = "kube-node-lease"
ROOT_CA: Final = "kube-root-ca.crt"
"""The config map of each namespace that carries the cluster's authority."""


class Informers:
    def __init__(self, client: Client) -> None:
        by_namespace = {BY_NAMESPACE: _namespace}
        self.pods = Informer(
            client.resource(Pod),
            indexes={
                BY_NAMESPACE: _namespace,
                BY_NODE: _node,
                BY_CONTROLLER: _controller,
                ORPHANS: _orphan,
                BY_CLAIM: claims_of,
            },
        )
        self.nodes = Informer(client.resource(Node))
        self.node_leases = Informer(client.resource(Lease), namespace=NODE_LEASES)
        self.namespaces = Informer(client.resource(Namespace))
        self.services = Informer(client.resource(Service), indexes=by_namespace)
        self.endpoints = Informer(client.resource(Endpoints))
        self.endpoint_slices = Informer(client.resource(EndpointSlice), indexes={BY_SERVICE: _service})
        self.replication_controllers = Informer(client.resource(ReplicationController), indexes=by_namespace)
        self.service_accounts = Informer(client.resource(ServiceAccount))
        self.root_cas = Informer(client.resource(ConfigMap), field_selector=f"metadata.name={ROOT_CA}")
        self.token_secrets = Informer(
            client.resource(Secret),
            field_selector="type=kubernetes.io/service-account-token",
            indexes={BY_ACCOUNT: lambda secret: [account_of(secret)]},
        )
        self.volumes = Informer(client.resource(PersistentVolume))
        self.claims = Informer(client.resource(PersistentVolumeClaim))
        self.storage_classes = Informer(client.resource(StorageClass))

    def __iter__(self) -> Iterator[Informer[Any]]:
        yield from vars(self).values()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for informer in self:
                tasks.create_task(informer.run(), name=f"informer-{informer.name}")

    async def wait(self) -> None:
        """Return when every cache is whole."""
        for informer in self:
            await informer.synced.wait()


def account_of(secret: Secret) -> meta.Key:
    """The service account that a token secret is for."""
    name = meta.annotations_of(secret).get("kubernetes.io/service-account.name", "")
    return meta.Key(meta.namespace_of(secret), name)


def claims_of(pod: Pod) -> list[Hashable]:
    """The claims that a pod mounts; an ephemeral volume's is called after pod and volume."""
    names = []
    for volume in pod.spec.volumes or ():
        if volume.persistent_volume_claim is not None:
            names.append(volume.persistent_volume_claim.claim_name)
        elif volume.ephemeral is not None:
            names.append(f"{meta.name_of(pod)}-{volume.name}")
    return [meta.Key(meta.namespace_of(pod), name) for name in names]


def _namespace(obj: KubeObject) -> list[Hashable]:
    return [meta.namespace_of(obj)]


def _node(pod: Pod) -> list[Hashable]:
    return [pod.spec.node_name] if pod.spec.node_name else []


def _service(one: EndpointSlice) -> list[Hashable]:
    name = meta.labels_of(one).get("kubernetes.io/service-name")
    return [meta.Key(meta.namespace_of(one), name)] if name else []


def _controller(pod: Pod) -> list[Hashable]:
    owner = meta.controller_of(pod)
    return [owner.uid] if owner else []


def _orphan(pod: Pod) -> list[Hashable]:
    return [] if meta.controller_of(pod) else [meta.namespace_of(pod)]
