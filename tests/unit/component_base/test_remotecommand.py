"""What a client of exec sees and sends, by each subprotocol."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from apimachinery.types.meta_v1 import Status
from component_base.remotecommand import BASE64, V1, V4, V5, RemoteCommand, Streams, TerminalSize
from component_base.serving import Server
from tests.support import eventually

ALL = Streams(stdin=True, stdout=True, stderr=True)


@asynccontextmanager
async def command(use, protocol: str, streams: Streams = ALL):
    """A client's socket to a command that does ``use(remote)``; the command's outcome is waited for."""
    done = asyncio.get_running_loop().create_future()

    async def app(scope, receive, send) -> None:
        try:
            async with await RemoteCommand.accept(scope, streams) as remote:
                done.set_result(await use(remote))
        except Exception as exc:
            done.set_exception(exc)

    async with Server(app, [("127.0.0.1", 0)]) as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/"
        async with session.ws_connect(url, protocols=[protocol] if protocol else []) as socket:
            yield socket, done


async def cat(remote: RemoteCommand) -> None:
    while data := await remote.read_stdin():
        await remote.write_stdout(data)
    await remote.write_stderr(b"done")
    await remote.finish()


@pytest.mark.parametrize("protocol", [V5, V4, V1, ""])
async def test_bytes_go_by_channel(protocol: str) -> None:
    async with command(cat, protocol) as (socket, _):
        assert await socket.receive_bytes() == b"\x01"  # the streams are there
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x01hello"


async def test_base64_is_text() -> None:
    async with command(cat, BASE64) as (socket, _):
        assert await socket.receive_str() == "1"
        await socket.send_str("0" + base64.b64encode(b"\xff\x00").decode())
        assert await socket.receive_str() == "1" + base64.b64encode(b"\xff\x00").decode()


async def test_v5_closes_stdin_and_the_status_comes_last() -> None:
    async with command(cat, V5) as (socket, done):
        await socket.receive_bytes()
        await socket.send_bytes(b"\x00in")
        await socket.send_bytes(b"\xff\x00")
        assert await socket.receive_bytes() == b"\x01in"
        assert await socket.receive_bytes() == b"\x02done"
        channel, *status = await socket.receive_bytes()
        assert channel == 3
        assert json.loads(bytes(status)) == {"metadata": {}, "status": "Success"}
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await asyncio.wait_for(done, 1)


async def fail(remote: RemoteCommand) -> None:
    await remote.finish(Status(status="Failure", reason="NonZeroExitCode", message="exit code 3"))


async def test_a_failure_is_a_status_in_v4_and_text_before() -> None:
    async with command(fail, V4) as (socket, _):
        await socket.receive_bytes()
        message = await socket.receive_bytes()
        assert message[0] == 3
        assert json.loads(message[1:])["reason"] == "NonZeroExitCode"
    async with command(fail, V1) as (socket, _):
        await socket.receive_bytes()
        assert await socket.receive_bytes() == b"\x03exit code 3"


async def test_a_client_that_leaves_ends_stdin() -> None:
    async def until_gone(remote: RemoteCommand) -> bytes:
        await remote.wait_gone()
        rest = b""
        while data := await remote.read_stdin():
            rest += data
        with pytest.raises(ConnectionResetError):
            await remote.write_stdout(b"anyone?")
        return rest

    async with command(until_gone, V4) as (socket, done):
        await socket.send_bytes(b"\x00last")
        await socket.close()
        assert await asyncio.wait_for(done, 2) == b"last"


async def test_sizes_of_the_terminal_arrive() -> None:
    async def first_size(remote: RemoteCommand) -> TerminalSize:
        async for size in remote.sizes():
            return size
        raise AssertionError("no size")

    async with command(first_size, V4, Streams(stdin=True, stdout=True, tty=True)) as (socket, done):
        await socket.send_bytes(b"\x04nonsense")  # ignored
        await socket.send_bytes(b'\x04{"Width":80,"Height":24}')
        assert await asyncio.wait_for(done, 2) == TerminalSize(80, 24)


@pytest.mark.parametrize(
    "document", [{"Width": 80, "Height": 24}, {"width": 80, "height": 24}, {"WIDTH": 80, "height": 24, "x": "y"}]
)
def test_a_terminal_size_is_read_in_any_case(document: Any) -> None:
    assert TerminalSize.from_document(document) == (80, 24)


@pytest.mark.parametrize("document", [None, 80, [80, 24], {"Width": "80"}, {"Width": 65536}, {"Height": -1}])
def test_anything_else_is_no_terminal_size(document: Any) -> None:
    with pytest.raises(ValueError, match=r"JSON object|must be numbers"):
        TerminalSize.from_document(document)


async def test_stdin_that_was_not_asked_for_is_empty_and_nonsense_is_ignored() -> None:
    async def read(remote: RemoteCommand) -> bytes:
        return await remote.read_stdin()

    async with command(read, V4, Streams(stdout=True)) as (socket, done):
        await socket.send_bytes(b"\x00x")
        await socket.send_bytes(b"")
        await socket.send_bytes(b"\x09x")
        assert await asyncio.wait_for(done, 2) == b""


async def test_a_command_that_does_not_read_makes_the_client_wait() -> None:
    release = asyncio.Event()

    async def lazy(remote: RemoteCommand) -> None:
        await release.wait()
        while await remote.read_stdin():
            continue

    async with command(lazy, V5) as (socket, done):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(800):  # 32 MB: more than the kernel's buffers hold
                await socket.send_bytes(b"\x00" + b"x" * 40_000)
                sent += 1
            await socket.send_bytes(b"\xff\x00")

        async def stuck() -> bool:
            before = sent
            await asyncio.sleep(0.2)
            return before == sent > 0

        sending = asyncio.create_task(send())
        await eventually(stuck)
        assert not sending.done()
        release.set()
        await asyncio.wait_for(asyncio.gather(sending, done), 10)
