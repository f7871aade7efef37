"""The node authorizer's graph, fed from the caches of pods, persistent volumes and volume attachments."""

import asyncio
from typing import Any

from apimachinery.types.core_v1 import PersistentVolume, Pod
from apimachinery.types.storage_v1 import VolumeAttachment
from apiserver.authorization.node import Graph
from apiserver.registry.resources import Resources
from apiserver.storage import Follower


class NodeGraph:
    """Start ``run`` when the caches are fed."""

    def __init__(self, resources: Resources) -> None:
        self.graph = Graph()
        self._pods = Follower(resources.store(Pod).cache, self.graph.pods)
        self._followers: tuple[Follower[Any], ...] = (
            self._pods,
            Follower(resources.store(PersistentVolume).cache, self.graph.volumes),
            Follower(resources.store(VolumeAttachment).cache, self.graph.attachments),
        )

    @property
    def is_loaded(self) -> bool:
        return all(follower.is_loaded for follower in self._followers)

    async def wait_current(self) -> None:
        await self._pods.wait_current()  # all caches are fed by one stream, revision by revision

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, follower in enumerate(self._followers):
                tasks.create_task(follower.run(), name=f"node-graph-{number}")
