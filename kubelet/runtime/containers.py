"""All containers of ours on this engine, as of now, in memory: workers read them without asking the engine.

Three things keep the records up to date: the engine's event stream, what the kubelet itself just did (``refresh`` after
each call, so that a plan never misses its own last step), and a regular relist, for events that were lost.
Whenever a record changes, ``on_change`` is called with the pod's UID.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubelet.runtime import errors, records
from kubelet.runtime.engine import Engine
from kubelet.runtime.records import ContainerRecord

log = logging.getLogger(__name__)


class Containers:
    """Records by container ID. Belongs to the event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._records: dict[str, ContainerRecord] = {}
        self._by_pod: dict[str, dict[str, ContainerRecord]] = {}
        # Responses may overtake each other: only that of the latest request about a container counts.
        self._requests = itertools.count(1)
        self._latest_request: dict[str, int] = {}
        self._listener: Callable[[str], object] = lambda uid: None
        self.synced = asyncio.Event()

    def on_change(self, listener: Callable[[str], object]) -> None:
        self._listener = listener

    def of_pod(self, uid: str) -> list[ContainerRecord]:
        return [*self._by_pod.get(uid, {}).values()]

    def get(self, id: str) -> ContainerRecord | None:
        return self._records.get(id)

    def all(self) -> list[ContainerRecord]:
        return [*self._records.values()]

    def pod_uids(self) -> list[str]:
        """Every pod that has a container here."""
        return [*self._by_pod]

    def count(self, *, sandboxes: bool) -> int:
        """Running sandboxes, or running containers of pods."""
        return sum(record.running and record.is_sandbox == sandboxes for record in self._records.values())

    async def refresh(self, id: str) -> ContainerRecord | None:
        """Inspect a container; None when it is gone."""
        request = next(self._requests)
        record: ContainerRecord | None = None
        with suppress(errors.NotFound):
            record = records.record_of(await self._engine.call(lambda client: client.inspect_container(id)))
        if request > self._latest_request.get(id, 0):
            self._latest_request[id] = request
            self._put(id, record)
        return self._records.get(id)

    async def relist(self) -> None:
        """Compare with everything that the engine has; inspect what differs."""
        request = next(self._requests)
        listed: list[dict[str, Any]] = await self._engine.call(
            lambda client: client.containers(all=True, filters={"label": records.POD_UID})
        )
        states = {item["Id"]: records.state_of(item["State"]) for item in listed}
        for id in [*self._records]:
            if id not in states and self._latest_request.get(id, 0) < request:
                self._put(id, None)
        changed = [id for id, state in states.items() if not self._known_as(id, state)]
        await asyncio.gather(*map(self.refresh, changed))
        self.synced.set()

    def forget(self, id: str) -> None:
        """The kubelet has removed the container."""
        self._latest_request[id] = next(self._requests)
        self._put(id, None)

    def _known_as(self, id: str, state: str) -> bool:
        known = self._records.get(id)
        return known is not None and known.state == state

    def _put(self, id: str, record: ContainerRecord | None) -> None:
        old = self._records.get(id)
        if old == record:
            return
        if old is not None:
            self._by_pod[old.pod_uid].pop(id)
            if not self._by_pod[old.pod_uid]:
                del self._by_pod[old.pod_uid]
        if record is None:
            self._records.pop(id, None)
            self._latest_request.pop(id, None)
        else:
            self._records[id] = record
            self._by_pod.setdefault(record.pod_uid, {})[id] = record
        changed = record or old
        if changed is not None:
            self._listener(changed.pod_uid)
