"""What pods refer to (config maps, secrets, claims and their volumes, tokens), fetched when a pod needs it.

Only tokens are cached: the rest is read when a container starts, so a pod that starts after a change gets the new content.
"""

import asyncio
import base64
from collections.abc import Iterable, Mapping

from apimachinery import errors, meta
from apimachinery.types import core_v1, node_v1
from kube_client import Client
from kubelet.references.tokens import Tokens


class ApiObjects:
    """Reads from the API. None means that the object does not exist; failures are ``errors.ApiError``."""

    def __init__(self, client: Client) -> None:
        self._config_maps_api = client.resource(core_v1.ConfigMap)
        self._secrets_api = client.resource(core_v1.Secret)
        self._claims_api = client.resource(core_v1.PersistentVolumeClaim)
        self._volumes_api = client.resource(core_v1.PersistentVolume)
        self._nodes_api = client.resource(core_v1.Node)
        self._runtime_classes_api = client.resource(node_v1.RuntimeClass)
        self.tokens = Tokens(client)
        """Of service accounts, cached while they are valid."""

    async def config_map(self, pod: core_v1.Pod, name: str) -> core_v1.ConfigMap | None:
        try:
            return await self._config_maps_api.get(name, namespace=meta.namespace_of(pod))
        except errors.NotFound:
            return None

    async def secret_data(self, pod: core_v1.Pod, name: str) -> dict[str, bytes] | None:
        """A secret's values, decoded."""
        try:
            secret = await self._secrets_api.get(name, namespace=meta.namespace_of(pod))
        except errors.NotFound:
            return None
        return {key: base64.b64decode(value) for key, value in (secret.data or {}).items()}

    def binary_data(self, config_map: core_v1.ConfigMap) -> dict[str, bytes]:
        return {key: base64.b64decode(value) for key, value in (config_map.binary_data or {}).items()}

    async def claim(self, pod: core_v1.Pod, name: str) -> core_v1.PersistentVolumeClaim | None:
        try:
            return await self._claims_api.get(name, namespace=meta.namespace_of(pod))
        except errors.NotFound:
            return None

    async def persistent_volume(self, name: str) -> core_v1.PersistentVolume | None:
        try:
            return await self._volumes_api.get(name)
        except errors.NotFound:
            return None

    async def runtime_class(self, name: str) -> node_v1.RuntimeClass | None:
        try:
            return await self._runtime_classes_api.get(name)
        except errors.NotFound:
            return None

    async def node_of(self, pod: core_v1.Pod) -> core_v1.Node:
        """Raises ``errors.NotFound``."""
        return await self._nodes_api.get(pod.spec.node_name or "")

    async def config_maps(self, pod: core_v1.Pod, names: Iterable[str]) -> Mapping[str, core_v1.ConfigMap]:
        """Those that exist, by name."""
        in_order = [*names]
        config_maps = await asyncio.gather(*(self.config_map(pod, name) for name in in_order))
        return {name: cm for name, cm in zip(in_order, config_maps, strict=True) if cm is not None}

    async def secrets(self, pod: core_v1.Pod, names: Iterable[str]) -> Mapping[str, Mapping[str, bytes]]:
        """The values of those that exist, by name."""
        in_order = [*names]
        secrets = await asyncio.gather(*(self.secret_data(pod, name) for name in in_order))
        return {name: data for name, data in zip(in_order, secrets, strict=True) if data is not None}
