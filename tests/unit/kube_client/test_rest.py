"""Verbs, errors and retries over real HTTP."""

import asyncio
import json
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from apimachinery import errors
from apimachinery.types import core_v1, meta_v1
from component_base.serving import Server
from kube_client import Client, Config, rest
from kube_client.config import Material

PODS = "/api/v1/namespaces/default/pods"


def pod(name: str, **fields: str) -> core_v1.Pod:
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace="default", **fields))


async def test_an_object_is_created_read_changed_listed_and_deleted(api, client: Client) -> None:
    pods = client.resource(core_v1.Pod)
    made = await pods.create(pod("a"))
    assert made.metadata.uid
    assert (await pods.get("a", namespace="default")) == made
    made.metadata.labels = {"x": "y"}
    changed = await pods.update(made)
    assert changed.metadata.labels == {"x": "y"}
    changed = await pods.update_status(changed)
    patched = await pods.patch(
        "a", {"status": {"phase": "Running"}}, namespace="default", kind="merge", subresource="status"
    )
    assert patched.status.phase == "Running"
    page = await pods.list(label_selector="x=y", limit=5)
    assert [pod.metadata.name for pod in page.items] == ["a"]
    assert page.resource_version == str(api.version)
    await pods.delete("a", namespace="default", uid="u", grace_period_seconds=0)
    assert (await pods.list(namespace="default")).items == []

    sent = {(method, path): (query, body, headers) for method, path, query, body, headers in api.requests}
    assert sent["PATCH", f"{PODS}/a/status"][2]["content-type"] == "application/merge-patch+json"
    assert sent["GET", "/api/v1/pods"][0] == {"labelSelector": "x=y", "limit": "5"}
    options = json.loads(sent["DELETE", f"{PODS}/a"][1])
    assert options["preconditions"] == {"uid": "u"}
    assert options["gracePeriodSeconds"] == 0
    assert sent["POST", PODS][2]["user-agent"] == "test"


async def test_the_namespace_of_the_configuration_is_the_default(api, client: Client) -> None:
    await client.resource(core_v1.ConfigMap).create(core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="a")))
    assert api.requests[-1][1] == "/api/v1/namespaces/default/configmaps"


async def test_a_nameless_object_is_an_error_and_not_the_collection(api, client: Client) -> None:
    with pytest.raises(ValueError, match="a name is needed"):
        await client.resource(core_v1.Pod).delete("")
    assert api.requests == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Expired),
        (422, errors.Invalid),
    ],
)
async def test_a_refusal_is_an_error_of_its_kind_and_not_repeated(api, client: Client, code: int, error) -> None:
    api.faults = [(code, {})]
    with pytest.raises(error):
        await client.resource(core_v1.Pod).get("a")
    assert len(api.requests) == 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.001)


@pytest.mark.usefixtures("quick")
class TestRetries:
    async def test_reading_is_repeated(self, api, client: Client) -> None:
        api.put(f"{PODS}/a", {})
        api.faults = [(503, {}), (504, {})]
        assert (await client.resource(core_v1.Pod).get("a")).metadata.name == "a"

    async def test_reading_is_given_up_in_the_end(self, api, client: Client) -> None:
        api.faults = [(503, {})] * 9
        with pytest.raises(errors.ServiceUnavailable):
            await client.resource(core_v1.Pod).get("a")
        assert len(api.requests) == 4

    @pytest.mark.parametrize("code", [503, 500])
    async def test_writing_is_not_repeated(self, api, client: Client, code: int) -> None:
        api.faults = [(code, {})]
        with pytest.raises(errors.ApiError):
            await client.resource(core_v1.Pod).create(pod("a"))
        assert len(api.requests) == 1

    @pytest.mark.parametrize("code", [429, 503])
    async def test_writing_is_repeated_when_the_server_asks_for_it(
        self, api, client: Client, monkeypatch, code: int
    ) -> None:
        delays = []
        monkeypatch.setattr(rest, "_delay", lambda failure, attempt: delays.append(failure.retry_after) or 0)
        api.faults = [(code, {"retry-after": "7"})]
        await client.resource(core_v1.Pod).create(pod("a"))
        assert len(api.requests) == 2
        assert delays == [7]

    async def test_a_connection_that_never_came_about_is_tried_again_even_for_writing(self, api, monkeypatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        monkeypatch.setattr(rest, "_FIRST_DELAY", 0.05)
        async with Client(Config(server=f"http://127.0.0.1:{port}")) as client:
            writing = asyncio.create_task(client.resource(core_v1.Pod).create(pod("a")))
            await asyncio.sleep(0.02)
            async with Server(api, [("127.0.0.1", port)]):
                await writing
        assert len(api.requests) == 1

    async def test_a_server_that_is_not_there_is_unavailable(self) -> None:
        async with Client(Config(server="http://127.0.0.1:1")) as client:
            with pytest.raises(errors.ServiceUnavailable, match=r"127\.0\.0\.1"):
                await client.resource(core_v1.Pod).create(pod("a"))

    @pytest.mark.parametrize(("method", "times"), [("get", 4), ("create", 1)])
    async def test_a_connection_lost_in_the_middle_is_tried_again_for_reading_alone(
        self, method: str, times: int
    ) -> None:
        requests = []

        async def hang_up(reader, writer) -> None:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Client(Config(server=f"http://127.0.0.1:{port}")) as client:
            pods = client.resource(core_v1.Pod)
            with pytest.raises(errors.ServiceUnavailable):
                await (pods.get("a") if method == "get" else pods.create(pod("a")))
        server.close()
        assert len(requests) == times

    @pytest.mark.parametrize(("method", "times"), [("GET", 4), ("POST", 1), ("PUT", 1), ("PATCH", 1), ("DELETE", 1)])
    async def test_a_request_that_is_not_answered_is_sent_again_for_reading_alone(
        self, method: str, times: int
    ) -> None:
        """On a connection that served before, too, where aiohttp would send a PUT or DELETE again by itself."""
        served: list[bytes] = []

        async def answer_once(reader, writer) -> None:
            try:
                first = await reader.readuntil(b"\r\n\r\n")
                if b"/warm" in first:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    first = await reader.readuntil(b"\r\n\r\n")
                served.append(first)
            finally:
                writer.close()

        async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Client(Config(server=f"http://127.0.0.1:{port}")) as client:
                await client.request("GET", "/warm")
                with pytest.raises(errors.ServiceUnavailable, match="connection lost"):
                    await client.request(method, "/a", body=None if method == "GET" else b"{}")
        assert len(served) == times

    @pytest.mark.parametrize(
        "error", [RuntimeError("File descriptor 13 is used by transport"), ValueError("unforeseen")]
    )
    async def test_an_error_that_no_library_announces_is_one_of_the_apis(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        async def fail(*args: object, **options: object) -> None:
            raise error

        monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
        with pytest.raises(errors.ServiceUnavailable, match=str(error)):
            await client.request("GET", "/a")
        with pytest.raises(errors.ServiceUnavailable, match=str(error)):
            async with client.stream("/a"):
                pass


async def test_a_silent_server_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_TIMEOUT", aiohttp.ClientTimeout(sock_read=0.1))

    closed = asyncio.Event()

    async def silent(reader, writer) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Client(Config(server=f"http://127.0.0.1:{port}")) as client:
        with pytest.raises(errors.Timeout):
            await client.resource(core_v1.Pod).create(pod("a"))
    await asyncio.wait_for(closed.wait(), 5)
    server.close()


async def test_a_token_that_is_replaced_is_used(api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with Server(api, [("127.0.0.1", 0)]) as server:
        config = Config(server=f"http://127.0.0.1:{server.port}", token=Material(path=token))
        async with Client(config) as client:
            await client.resource(core_v1.Pod).list()
            assert api.requests[-1][4]["authorization"] == "Bearer old"
            token.rename(tmp_path / "previous")
            token.write_text("new\n")
            monkeypatch.setattr(rest, "_CREDENTIALS_AGE", 0)
            await client.resource(core_v1.Pod).list()
            assert api.requests[-1][4]["authorization"] == "Bearer new"


async def test_a_watch_ends_with_its_consumer(api, client: Client) -> None:
    """Leaving the loop closes the connection, so nothing leaks on the server."""
    api.put(f"{PODS}/a", {})
    started = time.monotonic()
    stream = client.resource(core_v1.Pod).watch(resource_version="1")
    async for event in stream:
        assert (event.type, event.object.metadata.name) == ("ADDED", "a")
        break
    await stream.aclose()
    assert time.monotonic() - started < 1


async def test_a_watch_from_a_forgotten_version_is_expired(api, client: Client) -> None:
    api.compact()
    with pytest.raises(errors.Expired):
        await anext(client.resource(core_v1.ConfigMap).watch(resource_version="1"))
