"""Watches over WebSocket, as a web page opens them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest

from tests.integration.apiserver.objects import config_map, created, ok
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.support import eventually


@pytest.fixture
async def session(shared: ApiserverProcess) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connector = aiohttp.TCPConnector(ssl=shared.ssl_context())
    async with aiohttp.ClientSession(shared.url, headers=headers, connector=connector) as made:
        yield made


async def event(socket: "aiohttp.ClientWebSocketResponse") -> tuple[str, str, Any]:
    event = json.loads(await socket.receive_str(timeout=10))
    return event["type"], event["object"]["kind"], event["object"]["metadata"].get("name")


async def test_each_event_is_a_text_frame(session: aiohttp.ClientSession, api: httpx.AsyncClient, ns: str) -> None:
    for name in ("a", "b"):
        created(await api.post(f"{ns}/configmaps", json=config_map(name)))
    async with session.ws_connect(f"{ns}/configmaps?watch=true") as socket:
        assert [await event(socket) for _ in range(2)] == [("ADDED", "ConfigMap", "a"), ("ADDED", "ConfigMap", "b")]
        created(await api.post(f"{ns}/configmaps", json=config_map("c")))
        assert await event(socket) == ("ADDED", "ConfigMap", "c")
        ok(await api.delete(f"{ns}/configmaps/a"))
        assert await event(socket) == ("DELETED", "ConfigMap", "a")


async def test_it_resumes_selects_and_shows_tables(
    session: aiohttp.ClientSession, api: httpx.AsyncClient, ns: str
) -> None:
    start = ok(await api.get(f"{ns}/configmaps"))["metadata"]["resourceVersion"]
    created(await api.post(f"{ns}/configmaps", json=config_map("plain")))
    created(await api.post(f"{ns}/configmaps", json=config_map("chosen", {"x": "y"})))
    wanted = f"{ns}/configmaps?watch=true&labelSelector=x%3Dy&resourceVersion={start}"
    async with session.ws_connect(wanted) as socket:
        assert await event(socket) == ("ADDED", "ConfigMap", "chosen")
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    async with session.ws_connect(wanted, headers=table) as socket:
        assert (await event(socket))[:2] == ("ADDED", "Table")


async def test_it_ends_when_its_time_is_up(session: aiohttp.ClientSession, ns: str) -> None:
    async with session.ws_connect(f"{ns}/configmaps?watch=true&timeoutSeconds=1") as socket:
        message = await socket.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1000


async def test_the_clients_subprotocol_is_taken_and_its_token_is_not_echoed(
    session: aiohttp.ClientSession, ns: str
) -> None:
    offered = ("base64url.bearer.authorization.k8s.io.c2VzYW1l", "base64.binary.k8s.io")
    async with session.ws_connect(f"{ns}/configmaps?watch=true", protocols=offered) as socket:
        assert socket.protocol == "base64.binary.k8s.io"


async def test_a_browser_brings_its_token_as_a_subprotocol(shared: ApiserverProcess, ns: str) -> None:
    bearer = "base64url.bearer.authorization.k8s.io."
    connector = aiohttp.TCPConnector(ssl=shared.ssl_context())
    async with aiohttp.ClientSession(shared.url, connector=connector) as browser:
        path = f"{ns}/configmaps?watch=true"
        async with browser.ws_connect(path, protocols=[f"{bearer}c2VzYW1l", "base64.binary.k8s.io"]) as socket:
            assert socket.protocol == "base64.binary.k8s.io"
        wrong = [
            [f"{bearer}d3Jvbmc", "base64.binary.k8s.io"],
            [f"{bearer}c2VzYW1l"],  # with nothing that the server could answer
            [f"{bearer}c2VzYW1l", f"{bearer}c2VzYW1l", "base64.binary.k8s.io"],
            [f"{bearer}***", "base64.binary.k8s.io"],
            ["base64.binary.k8s.io"],
        ]
        for protocols in wrong:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.ws_connect(path, protocols=protocols)
            assert refused.value.status == 401


async def test_what_cannot_be_watched_is_refused_before_the_upgrade(session: aiohttp.ClientSession, ns: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{ns}/configmaps?watch=true&labelSelector=,,")
    assert refused.value.status == 400


async def test_a_client_that_leaves_is_forgotten(
    session: aiohttp.ClientSession, api: httpx.AsyncClient, ns: str
) -> None:
    async def watchers() -> int:
        lines = (await api.get("/metrics")).text.splitlines()
        rows = [line for line in lines if line.startswith("apiserver_longrunning_requests") and "podtemplates" in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in rows)

    async def counted() -> bool:
        return await watchers() == 3

    async def gone() -> bool:
        return await watchers() == 0

    sockets = [await session.ws_connect(f"{ns}/podtemplates?watch=true") for _ in range(3)]
    await eventually(counted)
    for socket in sockets[:2]:
        await socket.close()
    sockets[2]._response.connection.transport.abort()  # as when a cable is pulled: no farewell
    await eventually(gone)
