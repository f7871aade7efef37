"""Pods of tests, bound to the node as a scheduler would bind them, and what to wait for in them."""

from collections.abc import Callable
from typing import Any

from apimachinery import codec, errors, meta
from apimachinery.types import core_v1, meta_v1
from kube_client import Client
from tests.integration.kubelet.cluster import NODE
from tests.support import eventually

IMAGE = "peapod/busybox:latest"
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]


def container(name: str = "main", command: list[str] | None = None, **fields: Any) -> core_v1.Container:
    fields.setdefault("image", IMAGE)
    fields.setdefault("image_pull_policy", "IfNotPresent")
    return core_v1.Container(name=name, command=command or SLEEP, **fields)


def pod(namespace: str, name: str, *containers: core_v1.Container, **spec: Any) -> core_v1.Pod:
    spec.setdefault("termination_grace_period_seconds", 5)
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace=namespace),
        spec=core_v1.PodSpec(containers=list(containers) or [container()], node_name=NODE, **spec),
    )


class Pods:
    """The pods of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._pods = client.resource(core_v1.Pod)
        self._events = client.resource(core_v1.Event)
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        return self._namespace

    async def create(self, name: str, *containers: core_v1.Container, **spec: Any) -> core_v1.Pod:
        return await self._pods.create(pod(self._namespace, name, *containers, **spec))

    async def event(self, pod: core_v1.Pod, reason: str, words: str = "", timeout: float = 10.0) -> core_v1.Event:
        """An event of the pod with that reason and these words in its message, once it is recorded."""
        selector = f"involvedObject.uid={meta.uid_of(pod)},reason={reason}"

        async def recorded() -> core_v1.Event | None:
            page = await self._events.list(namespace=self._namespace, field_selector=selector)
            return next((event for event in page.items if words in (event.message or "")), None)

        event = await eventually(recorded, timeout)
        assert event is not None
        return event

    async def get(self, name: str) -> core_v1.Pod:
        return await self._pods.get(name, namespace=self._namespace)

    async def delete(self, name: str, grace: int | None = None) -> None:
        await self._pods.delete(name, namespace=self._namespace, grace_period_seconds=grace)

    async def until(self, name: str, what: Callable[[core_v1.Pod], Any], timeout: float = 40.0) -> core_v1.Pod:
        """The pod once ``what`` is true of it."""
        last: list[core_v1.Pod] = []

        async def check() -> core_v1.Pod | None:
            last[:] = [await self.get(name)]
            return last[0] if what(last[0]) else None

        try:
            pod = await eventually(check, timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {codec.to_builtins(last[0].status) if last else None}") from exc
        assert pod is not None
        return pod

    async def running(
        self, name: str, *containers: core_v1.Container, timeout: float = 40.0, **spec: Any
    ) -> core_v1.Pod:
        """A new pod, once it is Ready."""
        await self.create(name, *containers, **spec)
        return await self.until(name, is_ready, timeout)

    async def appears(self, name: str, other_than: str = "") -> core_v1.Pod:
        """A pod of that name, made by somebody else; of another UID."""

        async def there() -> core_v1.Pod | None:
            try:
                pod = await self.get(name)
            except (errors.NotFound, errors.ServiceUnavailable):
                return None
            return pod if meta.uid_of(pod) != other_than else None

        pod = await eventually(there, 20)
        assert pod is not None
        return pod

    async def until_gone(self, name: str, timeout: float = 15.0) -> None:
        async def gone() -> bool:
            try:
                await self.get(name)
            except errors.NotFound:
                return True
            return False

        await eventually(gone, timeout)


def is_ready(pod: core_v1.Pod) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or ())


def status_of(pod: core_v1.Pod, name: str = "main") -> core_v1.ContainerStatus:
    return next(
        (status for status in pod.status.container_statuses or () if status.name == name), core_v1.ContainerStatus()
    )


def container_id(pod: core_v1.Pod, name: str = "main") -> str:
    return (status_of(pod, name).container_id or "").removeprefix("docker://")


def waits_for(reason: str) -> Callable[[core_v1.Pod], bool]:
    """Whether the container ``main`` waits for that reason."""

    def check(pod: core_v1.Pod) -> bool:
        state = status_of(pod).state.waiting
        return state is not None and state.reason == reason

    return check


def uid_of(pod: core_v1.Pod) -> str:
    return meta.uid_of(pod)
