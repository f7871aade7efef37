"""Which limit of its local storage a pod exceeds."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.types import core_v1
from kubelet.resources.pod_disk import usage_by_container
from kubelet.resources.storage_limits import excess
from kubelet.runtime import Runtime
from kubelet.runtime.runtime import ContainerLayer
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


def test_a_container_uses_its_latest_layer_and_the_logs_of_all_attempts(tmp_path: Path) -> None:
    class Layers:
        async def layers(self, pod_uid: str) -> list[ContainerLayer]:
            def layer(name: str, attempt: int, size: int) -> ContainerLayer:
                logs = tmp_path / f"{name}-{attempt}"
                logs.mkdir()
                (logs / "json.log").write_bytes(b"x" * 4096)
                return ContainerLayer(pod_uid, name, attempt, size, None, logs)

            return [layer("a", 0, 1000 * MI), layer("a", 1, 2 * MI), layer("POD", 0, MI), layer("b", 0, 0)]

    usage = asyncio.run(usage_by_container(cast(Runtime, cast(Any, Layers())), "u"))
    assert usage.keys() == {"a", "b"}
    assert usage["a"].bytes == 2 * MI + 2 * usage["b"].bytes
    assert usage["b"].bytes >= 4096
