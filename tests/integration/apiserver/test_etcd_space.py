"""An etcd that is out of space: it shows beforehand and afterwards, and one command makes room."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from apiserver.storage import Etcd, Space
from apiserver.storage.compaction import Compactor
from apiserver.storage.etcd.errors import Compacted
from tests.integration.apiserver.objects import config_map, created, ok
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

QUOTA = 16 * 2**20
PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    server = EtcdServer(tmp_path, f"--quota-backend-bytes={QUOTA}")
    try:
        await server.start()
        yield server
    finally:
        server.kill()


async def test_it_shows_and_is_mended(
    etcd: EtcdServer, apiserver: ApiserverProcess, caplog: pytest.LogCaptureFixture
) -> None:
    client = Etcd(etcd.config)
    space, compactor = Space(client, etcd.config), Compactor(client)
    async with apiserver.http() as api:
        assert (await api.get("/readyz/etcd-space")).text == "ok"
        await compactor.compact()
        with caplog.at_level(logging.WARNING, logger="apiserver.storage.space"):
            refusal = await _filled(api, space)
        assert "space is low" in caplog.text  # before it was too late
        status = refusal.json()
        assert (refusal.status_code, status["reason"]) == (503, "ServiceUnavailable")
        assert "etcd is out of space" in status["message"]
        assert "kube-etcd-defrag" in status["message"]

        await eventually(lambda: _is_ready(api, False))
        assert "[-]etcd-space failed" in (await api.get("/readyz")).text
        assert "etcd is out of space" in (await api.get("/readyz/etcd-space")).text
        assert (await api.get("/livez")).status_code == 200  # a restart would not help
        assert len(ok(await api.get(PATH))["items"]) > 10
        ok(await api.delete(f"{PATH}/fill-0"))
        await eventually(lambda: _shows(api, "apiserver_storage_space_low", 1))
        assert await _shows(api, "apiserver_storage_quota_bytes", QUOTA)

        assert await compactor.compact()  # although it cannot leave its mark
        with pytest.raises(Compacted):
            await client.range("/registry/", "/registry0", revision=2)

        ok(await api.delete(PATH))
        before = (await client.status()).db_size
        code, text = await _defrag(etcd.url)
        assert code == 0, text
        assert f"etcd {etcd.url}: {before / 1e6:.1f} MB before" in text
        assert (await client.status()).db_size < before / 4
        created(await api.post(PATH, json=config_map("room")))
        await eventually(lambda: _is_ready(api, True))
        await eventually(lambda: _shows(api, "apiserver_storage_space_low", 0))
        assert (await _defrag(etcd.url))[0] == 0  # may be repeated
    await client.close()


async def test_an_etcd_that_does_not_answer_is_reported_in_one_line() -> None:
    code, text = await _defrag("http://127.0.0.1:1")
    assert code == 1
    [line] = text.splitlines()
    assert line.startswith("kube-etcd-defrag: no etcd endpoint answers (http://127.0.0.1:1)")


async def _filled(api: httpx.AsyncClient, space: Space) -> httpx.Response:
    """Write until that is refused."""
    for number in range(100):
        reply = await api.post(PATH, json=config_map(f"fill-{number}", a="x" * 500_000))
        if reply.status_code != 201:
            return reply
        await space.look()
    raise AssertionError("nothing was refused")


async def _is_ready(api: httpx.AsyncClient, ready: bool) -> bool:
    return ((await api.get("/readyz")).status_code == 200) == ready


async def _shows(api: httpx.AsyncClient, name: str, value: float) -> bool:
    lines = (await api.get("/metrics")).text.splitlines()
    return any(line.startswith(name) and float(line.rpartition(" ")[2]) == value for line in lines)


async def _defrag(url: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apiserver.defrag", f"--etcd-servers={url}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode, output.decode()
