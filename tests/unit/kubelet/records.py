"""Container records and pods for tests of pure functions."""

from typing import Any

from apimachinery.types import core_v1, meta_v1
from kubelet.runtime import ContainerRecord
from kubelet.runtime.records import SANDBOX, spec_hash

IMAGE = "app:1"


def make_pod(*names: str, **spec: Any) -> core_v1.Pod:
    containers = [core_v1.Container(name=name, image=IMAGE) for name in names or ("main",)]
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="p", namespace="default", uid="u"),
        spec=core_v1.PodSpec(containers=containers, **spec),
    )


def record(name: str = "main", attempt: int = 0, state: Any = "running", **fields: Any) -> ContainerRecord:
    defaults: dict[str, Any] = {
        "id": f"{name}-{attempt}",
        "pod_uid": "u",
        "pod_name": "p",
        "pod_namespace": "default",
        "created_at": "2026-01-01T00:00:00.5Z",
        "started_at": None if state == "created" else "2026-01-01T00:00:01.5Z",
        "finished_at": "2026-01-01T00:00:02.5Z" if state == "exited" else None,
        "spec_hash": spec_hash(core_v1.Container(name=name, image=IMAGE)),
        "sandbox_id": "POD-0",
        "image": IMAGE,
        "image_id": "sha256:1",
    }
    return ContainerRecord(name=name, attempt=attempt, state=state, **{**defaults, **fields})


def sandbox(attempt: int = 0, state: Any = "running") -> ContainerRecord:
    return record(SANDBOX, attempt, state, ip="10.1.0.5", sandbox_id="")
