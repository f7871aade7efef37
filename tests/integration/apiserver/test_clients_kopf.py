"""An operator written with kopf, run as people run it: handlers on config maps and pods."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.objects import config_map, created, name_of, ok, pod
from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually

HANDLERS = Path(__file__).with_name("kopf_handlers.py")
WATCHED = {"watched": "yes"}


@pytest.fixture
def operator(shared: ApiserverProcess, ns: str, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (tmp_path / "kopf.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", "--standalone", "-n", name_of(ns), str(HANDLERS)],
            env=shared.environment(), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


async def test_an_operator_handles_config_maps_and_pods(
    operator: "subprocess.Popen[bytes]", api: httpx.AsyncClient, ns: str
) -> None:
    path = f"{ns}/configmaps/a"
    created(await api.post(f"{ns}/configmaps", json=config_map("a", WATCHED, k="1")))
    created(await api.post(f"{ns}/pods", json=pod("p", WATCHED)))

    async def annotations(of: str) -> dict[str, Any]:
        assert operator.poll() is None, "the operator ended"
        return ok(await api.get(of))["metadata"].get("annotations", {})

    async def marked() -> bool:
        return (await annotations(path)).get("marked") == "a"

    async def looked() -> bool:
        return "looked" in await annotations(f"{ns}/pods/p")

    async def followed() -> bool:
        return (await annotations(path)).get("change") == "1-2"

    async def told() -> bool:
        return "Followed" in [event["reason"] for event in ok(await api.get(f"{ns}/events"))["items"]]

    async def gone() -> bool:
        return (await api.get(path)).status_code == 404

    await eventually(marked, timeout=30)
    await eventually(looked, timeout=20)
    assert ok(await api.get(path))["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    merge = {"Content-Type": "application/merge-patch+json"}
    ok(await api.patch(path, content='{"data":{"k":"2"}}', headers=merge))
    await eventually(followed, timeout=20)
    await eventually(told, timeout=20)
    ok(await api.delete(path))  # it stays until the operator takes its finalizer away
    await eventually(gone, timeout=20)
