"""Resource usage of the node and its pods over time, for ``/stats/summary`` and ``/metrics/resource``.

A sample of all containers is taken every 15 seconds, and on request if the last one is not fresh; rates are between the
last two. Cheap: it only reads files of the kernel, in a thread. ``resource_metrics`` formats the same for Prometheus.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apimachinery import meta
from kubelet.resources import usage
from kubelet.resources.usage import Traffic, Usage
from kubelet.runtime import ContainerRecord
from kubelet.runtime.containers import Containers
from kubelet.runtime.records import running_sandbox

log = logging.getLogger(__name__)

PERIOD = 15.0
"""Seconds between samples."""

FRESH = 5.0
"""Seconds that a sample may be old when it is requested; an older one is replaced."""


@dataclass(frozen=True)
class Sample:
    """Everything at one moment."""

    at: float = 0.0
    """Seconds since the epoch."""
    node: Usage | None = None
    containers: Mapping[str, Usage] = field(default_factory=dict)
    """By container ID; sandboxes too."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """By the sandbox's ID."""


class Stats:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(
        self,
        node_name: str,
        memory: int,
        root: Path,
        containers: Containers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``memory`` is the machine's, in bytes; ``root`` is on the file system that the summary describes."""
        self._node_name, self.memory, self._root = node_name, memory, root
        self._containers, self._clock = containers, clock
        self._before, self._now = Sample(), Sample()
        self._began = meta.now()
        self._sampling = asyncio.Lock()

    async def run(self) -> None:
        await self._containers.synced.wait()
        while True:
            try:
                await self.sample()
            except OSError as exc:  # no file can be opened at the moment
                log.info("usage: %s; will retry", exc)
            await asyncio.sleep(PERIOD)

    async def sample(self) -> None:
        """Take one now."""
        async with self._sampling:  # one after the other, so that whoever scrapes never goes back in time
            running = [record for record in self._containers.all() if record.running]
            sample = await asyncio.to_thread(_sample, running, max(self._clock(), self._now.at))
            self._before, self._now = self._now, sample

    async def refresh(self) -> None:
        """Take a sample unless the last one is fresh, or another is under way."""
        async with self._sampling:
            is_fresh = self._clock() - self._now.at <= FRESH
        if not is_fresh:
            await self.sample()

    def usage_of_pod(self, uid: str) -> Usage | None:
        """The sum over its containers, as last sampled."""
        usages = [self._now.containers.get(record.id) for record in self._containers.of_pod(uid)]
        return _sum([usage for usage in usages if usage is not None])

    def summary(self) -> dict[str, Any]:
        """The document of the kubelet's summary API; ``window`` is ours: the time over which rates are measured."""
        disk = os.statvfs(self._root)
        node = {
            "nodeName": self._node_name,
            "startTime": self._began,
            "window": f"{max(0.0, self._now.at - self._before.at):.3f}s",
            **self._figures(self._before.node, self._now.node, machine=True),
            "fs": {
                "time": self._time(),
                "availableBytes": disk.f_bavail * disk.f_frsize,
                "capacityBytes": disk.f_blocks * disk.f_frsize,
                "usedBytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
                "inodesFree": disk.f_ffree,
                "inodes": disk.f_files,
            },
        }
        return {"node": node, "pods": [self._pod(sandbox, members) for sandbox, members in self.running_pods()]}

    @property
    def now(self) -> Sample:
        """The last sample."""
        return self._now

    def running_pods(self) -> Iterator[tuple[ContainerRecord, list[ContainerRecord]]]:
        """Running sandboxes with the running containers in them."""
        for uid in self._containers.pod_uids():
            running = [record for record in self._containers.of_pod(uid) if record.running]
            sandbox = running_sandbox(running)
            if sandbox is not None:
                yield sandbox, [record for record in running if not record.is_sandbox]

    def _pod(self, sandbox: ContainerRecord, members: list[ContainerRecord]) -> dict[str, Any]:
        before, now = self._before.containers, self._now.containers
        ids = [record.id for record in (sandbox, *members)]
        pod: dict[str, Any] = {
            "podRef": {"name": sandbox.pod_name, "namespace": sandbox.pod_namespace, "uid": sandbox.pod_uid},
            "startTime": _seconds(sandbox.started_at),
            "containers": [
                {
                    "name": record.name,
                    "startTime": _seconds(record.started_at),
                    **self._figures(before.get(record.id), now.get(record.id)),
                }
                for record in members
            ],
            **self._figures(
                _sum([before[id] for id in ids if id in before]) if sandbox.id in before else None,
                _sum([now[id] for id in ids if id in now]),
            ),
        }
        if traffic := self._now.traffic.get(sandbox.id):
            interface = {"name": "eth0", "rxBytes": traffic.received, "txBytes": traffic.sent}
            pod["network"] = {"time": self._time(), **interface, "interfaces": [interface]}
        return pod

    def _figures(self, before: Usage | None, now: Usage | None, *, machine: bool = False) -> dict[str, Any]:
        if now is None:
            return {}
        cpu: dict[str, Any] = {"time": self._time(), "usageCoreNanoSeconds": now.cpu}
        seconds = self._now.at - self._before.at
        if before is not None and seconds > 0 and now.cpu >= before.cpu:
            cpu["usageNanoCores"] = int((now.cpu - before.cpu) / seconds)
        memory: dict[str, Any] = {
            "time": self._time(),
            "usageBytes": now.memory,
            "workingSetBytes": now.working_set,
            "rssBytes": now.rss,
        }
        if machine:
            memory["availableBytes"] = max(0, self.memory - now.working_set)
        return {"cpu": cpu, "memory": memory}

    def _time(self) -> str:
        return meta.format_time(datetime.fromtimestamp(self._now.at, UTC))


def _sample(running: list[ContainerRecord], at: float) -> Sample:
    usages = {record.id: usage.container_usage(record.pid) for record in running}
    traffic = {record.id: usage.traffic(record.pid) for record in running if record.is_sandbox}
    return Sample(
        at,
        usage.machine_usage(),
        {id: of_container for id, of_container in usages.items() if of_container is not None},
        {id: of_pod for id, of_pod in traffic.items() if of_pod is not None},
    )


def _sum(usages: list[Usage]) -> Usage | None:
    if not usages:
        return None
    return Usage(
        sum(usage.cpu for usage in usages),
        sum(usage.memory for usage in usages),
        sum(usage.working_set for usage in usages),
        sum(usage.rss for usage in usages),
    )


def _seconds(moment: str | None) -> str | None:
    return meta.format_time(meta.parse_time(moment)) if moment else None
