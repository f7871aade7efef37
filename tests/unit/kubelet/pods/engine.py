"""A container runtime in memory that keeps the engine's rules: names are unique, only what was created can be started."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from apimachinery import meta
from apimachinery.types import core_v1
from kubelet.runtime import ContainerRecord, Engine, RunContainerOptions, Runtime, errors, records
from kubelet.runtime.config import Defaults


class MemoryRuntime(Runtime):
    """Containers end when the test says so, or when they are signalled."""

    def __init__(self) -> None:
        super().__init__(Engine("unix:///nowhere"), Defaults("peapod", "pause:1"))
        self.containers.refresh = self._refresh  # type: ignore[method-assign]
        self.calls: list[str] = []
        self.present = {"app:1"}
        self.images: Any = SimpleNamespace(pull=self._pull, now=lambda: 0.0, seconds_to_retry=lambda pull: 9.0)
        self.unreachable: set[str] = set()
        self.arriving: set[str] = set()
        """Images whose pull is under way."""
        self.dying = False
        """Whether the sandbox ends just before the next container is started in it."""
        self.deaf: set[str] = set()
        """Containers that only SIGKILL ends."""

    async def _refresh(self, id: str) -> ContainerRecord | None:
        return self.containers.get(id)

    def of(self, name: str) -> list[ContainerRecord]:
        return sorted((r for r in self.containers.all() if r.name == name), key=lambda record: record.attempt)

    def states(self) -> dict[str, str]:
        """The state of the last container of each name."""
        return {r.name: r.state for r in sorted(self.containers.all(), key=lambda record: record.attempt)}

    def end(self, name: str, code: int = 0) -> None:
        last = self.of(name)[-1]
        if last.running:
            ended = replace(last, state="exited", exit_code=code, finished_at=meta.now())
            self.containers._put(last.id, ended)

    async def create_sandbox(
        self, pod: core_v1.Pod, attempt: int, hostname: str, oom_score_adj: int
    ) -> ContainerRecord:
        return await self.start(self._make(pod, records.SANDBOX, attempt, ip="10.1.0.5"))

    async def create_container(
        self,
        pod: core_v1.Pod,
        spec: core_v1.Container,
        attempt: int,
        owner: ContainerRecord,
        options: RunContainerOptions,
    ) -> str:
        assert owner.running, "containers join the namespaces of a running sandbox"
        if spec.image not in self.present:
            raise errors.ImageNotFound(spec.image)
        fields = {"sandbox_id": owner.id, "spec_hash": records.spec_hash(spec), "image": spec.image or ""}
        return self._make(pod, spec.name, attempt, **fields)

    async def start(self, id: str) -> ContainerRecord:
        record = self.containers.get(id)
        assert record is not None, "it was created before"
        assert record.state == "created", "the engine starts a container once"
        if record.sandbox_id and self.dying:
            self.dying = False
            self.end(records.SANDBOX)
            raise errors.Refused("cannot join network of a non running container")
        self.calls.append(f"start {record.name}")
        record = replace(record, state="running", started_at=meta.now())
        self.containers._put(id, record)
        return record

    async def signal(self, id: str, signal: str) -> None:
        record = self.containers.get(id)
        assert record is not None, "it was not removed"
        self.calls.append(f"{signal} {record.name}")
        if signal == "SIGKILL" or record.name not in self.deaf:
            asyncio.get_running_loop().call_soon(self.end, record.name, 137)

    async def remove(self, id: str) -> None:
        record = self.containers.get(id)
        if record is not None:
            self.calls.append(f"remove {record.name}")
        self.containers.forget(id)

    def _make(self, pod: core_v1.Pod, name: str, attempt: int, **fields: str) -> str:
        id = f"{name}-{attempt}"
        assert self.containers.get(id) is None, "the engine refuses a name that is in use"
        common = {"pod_uid": meta.uid_of(pod), "pod_name": meta.name_of(pod), "pod_namespace": meta.namespace_of(pod)}
        record = ContainerRecord(
            id=id, name=name, attempt=attempt, state="created", created_at=meta.now(), **common, **fields
        )
        self.containers._put(id, record)
        return id

    def _pull(self, image: str, waiter: tuple[str, str], logins: object = ()) -> SimpleNamespace:
        failure = "no such image" if image in self.unreachable else ""
        under_way = image in self.arriving
        if not failure and not under_way:
            self.present.add(image)
        return SimpleNamespace(
            image=image,
            done=not failure and not under_way,
            failure=failure,
            under_way=under_way,
            seconds=0.1,
            seconds_since_end=lambda now: 0.0,
        )
