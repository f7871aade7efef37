"""Which limit of its local storage a pod exceeds."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.types import core_v1
from kubelet.resources import storage_limits
from kubelet.resources.pod_disk import DiskUsage, TreeWalk, of_tree, usage_by_container
from kubelet.resources.storage_limits import StorageLimits, excess
from kubelet.runtime import Runtime
from kubelet.runtime.runtime import ContainerLayer
from tests.support import eventually
from tests.unit.kubelet.records import make_pod

MI = 1024 * 1024


def limited(**limits: str) -> core_v1.Pod:
    pod = make_pod("a", "b")
    for container in pod.spec.containers:
        if limit := limits.get(container.name):
            container.resources = core_v1.ResourceRequirements(limits={"ephemeral-storage": limit})
    return pod


@pytest.mark.parametrize(
    ("pod", "used", "volumes", "message"),
    [
        (limited(), {"a": 900 * MI}, 900 * MI, ""),
        (limited(a="1Mi", b="3Mi"), {"a": MI, "b": 2 * MI}, MI, ""),
        (
            limited(a="1Mi", b="3Mi"),
            {"a": MI + 1, "b": 0},
            0,
            'Container a exceeded its local ephemeral storage limit "1Mi". ',
        ),
        (
            limited(a="1Mi", b="3Mi"),
            {"a": MI, "b": 3 * MI},
            1,
            "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
        ),
        (
            limited(a="1G"),
            {"b": 10**9 + 1},
            0,
            "Pod ephemeral local storage usage exceeds the total limit of containers 1G. ",
        ),
    ],
)
def test_a_pod_beyond_a_limit_says_which(pod: core_v1.Pod, used: dict[str, int], volumes: int, message: str) -> None:
    assert excess(used, volumes, pod) == message


class Layers:
    """A runtime that knows where the layers of containers ``a`` and ``b`` are, or only how large."""

    def __init__(self, root: Path, *, knows_directories: bool) -> None:
        self._root, self._knows_directories = root, knows_directories

    async def layers(self, pod_uid: str, *, sizes: bool = True) -> list[ContainerLayer]:
        def layer(name: str, attempt: int, size: int) -> ContainerLayer:
            logs, directory = self._root / f"{name}-{attempt}-logs", self._root / f"{name}-{attempt}"
            for folder in (logs, directory):
                folder.mkdir(exist_ok=True)
            (logs / "json.log").write_bytes(b"x" * 4096)
            (directory / "file").write_bytes(b"x" * size)
            return ContainerLayer(
                pod_uid, name, attempt, size if sizes else 0, directory if self._knows_directories else None, logs
            )

        return [layer("a", 0, 10 * MI), layer("a", 1, 2 * MI), layer("POD", 0, MI), layer("b", 0, 0)]


async def measured(path: Path) -> DiskUsage:
    return of_tree(path)


@pytest.mark.parametrize("knows_directories", [True, False])
async def test_a_container_uses_its_latest_layer_and_the_logs_of_all_attempts(
    tmp_path: Path, knows_directories: bool
) -> None:
    runtime = cast(Runtime, cast(Any, Layers(tmp_path, knows_directories=knows_directories)))
    usage = await usage_by_container(runtime, "u", measured)
    assert usage.keys() == {"a", "b"}
    assert usage["a"].bytes == 2 * MI + 2 * usage["b"].bytes
    assert usage["b"].bytes >= 4096


def test_a_walk_goes_on_where_it_was(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}").mkdir()
        for i in range(300):
            (tmp_path / f"{n}" / f"{i}").write_bytes(b"x" * 4096)
    walk, turns = TreeWalk(tmp_path), 1
    while not walk.go_on(0):
        turns += 1
    assert turns > 3
    assert walk.usage == of_tree(tmp_path)
    assert walk.usage.inodes == 903


class Recorder:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, pod: core_v1.Pod, kind: str, reason: str, message: str) -> None:
        self.messages.append(message)


class Worker:
    def __init__(self, pod: core_v1.Pod) -> None:
        self.pod, self.has_failed = pod, False

    def fail(self, failure: object) -> None:
        self.has_failed = True


class Dirs:
    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, uid: str) -> Path:
        return self._root / uid


def with_volume(root: Path, uid: str, limit: str) -> tuple[Worker, Path]:
    """A pod with an emptyDir, and the directory of that."""
    pod = make_pod()
    pod.metadata.uid = uid
    pod.spec.volumes = [core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource(size_limit=limit))]
    directory = root / uid / "volumes" / "kubernetes.io~empty-dir" / "v"
    directory.mkdir(parents=True)
    return Worker(pod), directory


async def test_a_pod_with_too_many_files_for_a_turn_delays_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_limits, "_TURN", 0)
    large, files = with_volume(tmp_path, "large", "1Gi")
    for i in range(1000):
        (files / str(i)).touch()
    full, files = with_volume(tmp_path, "full", "1Ki")
    (files / "file").write_bytes(b"x" * 100_000)
    workers, recorder = [large, full], Recorder()
    active: Any = type("Workers", (), {"active": lambda _: workers})()
    limits = StorageLimits(active, cast(Any, None), cast(Any, Dirs(tmp_path)), cast(Any, recorder), period=0.05)
    task = asyncio.create_task(limits.run())
    try:
        await eventually(lambda: full.has_failed)
        assert recorder.messages == ['Usage of EmptyDir volume "v" exceeds the limit "1Ki". ']
        assert limits._walks["large"]  # not complete yet: it goes on in the next pass
        await eventually(lambda: not limits._walks["large"], interval=0)
        assert not large.has_failed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_has_been_counted_of_a_directory_is_enough_to_exceed_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_limits, "_TURN", 0)
    worker, files = with_volume(tmp_path, "u", "1Mi")
    for i in range(1000):
        (files / str(i)).write_bytes(b"x" * 4096)
    active: Any = type("Workers", (), {"active": lambda _: [worker]})()
    limits = StorageLimits(active, cast(Any, None), cast(Any, Dirs(tmp_path)), cast(Any, Recorder()), period=0.01)
    task = asyncio.create_task(limits.run())
    try:
        await eventually(lambda: worker.has_failed)
        assert limits._walks["u"]  # evicted before all was counted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
