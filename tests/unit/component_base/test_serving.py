"""Real sockets on loopback: certificates, upgraded streams, bounds, and the way down."""

import asyncio
import socket
import ssl
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from shutil import copy

import pytest

from component_base import http_protocol, serving
from component_base.event_loop import Loop
from component_base.metrics import exposition
from component_base.serving import TLS, Server, Stream, ssl_context
from tests.support import eventually
from tests.unit.component_base.conftest import Authority

LOCAL = [("127.0.0.1", 0)]


async def answer(send, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def whoami(scope, receive, send) -> None:
    tls = scope["extensions"].get("tls")
    certificate = tls and tls["client_certificate"]
    names = f"{certificate.common_name} {','.join(certificate.organizations)}" if certificate else "anonymous"
    await answer(send, names.encode())


class Upgrading:
    """Accepts ``Upgrade: test`` and gives the stream to ``use``; other requests get "plain"."""

    def __init__(self, use) -> None:
        self.use = use

    async def __call__(self, scope, receive, send) -> None:
        upgrade = scope["extensions"].get("upgrade")
        if upgrade is None or "test" not in upgrade.protocols:
            await answer(send, b"plain")
            return
        stream = await upgrade.accept([(b"connection", b"Upgrade"), (b"upgrade", b"test")])
        await self.use(stream, scope)


async def echo(stream: Stream, scope) -> None:
    while data := await stream.read():
        stream.write(data)
        await stream.drain()


@asynccontextmanager
async def connect(server: Server, context: ssl.SSLContext | None = None):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def request(reader, writer, *headers: str, path: str = "/", method: str = "GET") -> tuple[int, bytes]:
    head = "".join(f"{header}\r\n" for header in headers)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode())
    return await response(reader)


async def response(reader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def upgraded(reader, writer, extra: bytes = b"") -> None:
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: test\r\n\r\n" + extra)
    assert (await response(reader))[0] == 101


class TestClientCertificates:
    async def test_the_application_sees_who_the_client_is(self, tls: TLS, authority) -> None:
        context = authority.client_context(authority.issue("alice", "alice", ("system:masters", "dev")))
        async with Server(whoami, LOCAL, tls=tls) as server, connect(server, context) as ends:
            for _ in range(2):  # the same on every request of the connection
                assert await request(*ends) == (200, b"alice system:masters,dev")

    async def test_the_last_of_several_common_names_counts(self, tls: TLS, authority) -> None:
        context = authority.client_context(authority.issue("two-names", ("system:node:a", "mallory")))
        async with Server(whoami, LOCAL, tls=tls) as server, connect(server, context) as ends:
            assert await request(*ends) == (200, b"mallory ")

    async def test_a_client_without_one_reaches_the_application(self, tls: TLS, authority) -> None:
        async with Server(whoami, LOCAL, tls=tls) as server, connect(server, authority.client_context()) as ends:
            assert await request(*ends) == (200, b"anonymous")

    async def test_one_that_does_not_verify_ends_in_an_alert(self, tls: TLS, authority, stranger) -> None:
        context = authority.client_context(stranger.issue("mallory", "mallory"))
        async with Server(whoami, LOCAL, tls=tls) as server:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with connect(server, context) as ends:
                    await request(*ends)

    async def test_a_resumed_session_keeps_the_identity(self, tls: TLS, authority) -> None:
        context = authority.client_context(authority.issue("bob", "bob"))

        def ask(port: int, session: ssl.SSLSession | None) -> tuple[bytes, bool, ssl.SSLSession | None]:
            with (
                socket.create_connection(("127.0.0.1", port)) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as sock,
            ):
                sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                data = b""
                while chunk := sock.recv(4096):
                    data += chunk
                return data, bool(sock.session_reused), sock.session

        async with Server(whoami, LOCAL, tls=tls) as server:
            _, _, session = await asyncio.to_thread(ask, server.port, None)
            data, reused, _ = await asyncio.to_thread(ask, server.port, session)
        assert reused
        assert data.endswith(b"bob ")

    def test_tls_begins_with_1_2(self, tls: TLS) -> None:
        assert ssl_context(tls).minimum_version is ssl.TLSVersion.TLSv1_2


class TestRenewedCertificates:
    """Files that change while the server runs."""

    @pytest.fixture(autouse=True)
    def at_every_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "CHECK_FILES", 0.0)

    @pytest.fixture
    def files(self, tmp_path: Path, authority: Authority) -> TLS:
        """A server's files of its own."""
        files = TLS(tmp_path / "server.crt", tmp_path / "server.key", tmp_path / "ca.crt")
        self.replace(files, authority, authority)
        return files

    @staticmethod
    def replace(files: TLS, issuer: Authority, client_authority: Authority) -> None:
        pair = issuer.issue(f"renewed-{time.time_ns()}", "server")
        assert files.client_ca_file is not None
        for source, target in ((client_authority.cert, files.client_ca_file), (pair.key, files.key_file)):
            copy(source, target)
        copy(pair.cert, files.cert_file)

    @staticmethod
    async def served(server: Server) -> bytes:
        """The certificate that a new connection is shown."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with connect(server, context) as (_, writer):
            certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return certificate

    async def test_a_new_certificate_is_served_while_older_connections_go_on(self, files: TLS, authority) -> None:
        async with Server(whoami, LOCAL, tls=files) as server, connect(server, authority.client_context()) as ends:
            assert await request(*ends) == (200, b"anonymous")
            before = await self.served(server)
            self.replace(files, authority, authority)
            after = await eventually(lambda: self.other_than(server, before))
            assert after == ssl.PEM_cert_to_DER_cert(files.cert_file.read_text())
            assert await request(*ends) == (200, b"anonymous")

    async def other_than(self, server: Server, before: bytes) -> bytes | None:
        now = await self.served(server)
        return now if now != before else None

    async def test_later_clients_are_verified_by_the_new_ca(self, files: TLS, authority, stranger) -> None:
        old = authority.client_context(authority.issue("alice", "alice"))
        new = ssl.create_default_context(cafile=str(stranger.cert))
        bob = stranger.issue("bob", "bob")
        new.load_cert_chain(bob.cert, bob.key)
        async with Server(whoami, LOCAL, tls=files) as server:
            async with connect(server, old) as ends:
                assert await request(*ends) == (200, b"alice ")
                before = await self.served(server)
                self.replace(files, stranger, stranger)
                await eventually(lambda: self.other_than(server, before))
                assert await request(*ends) == (200, b"alice ")
            async with connect(server, new) as ends:
                assert await request(*ends) == (200, b"bob ")
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                async with connect(server, old) as ends:
                    await request(*ends)

    async def test_a_file_that_is_half_written_changes_nothing(self, files: TLS, authority, caplog) -> None:
        async with Server(whoami, LOCAL, tls=files) as server:
            before, whole = await self.served(server), files.cert_file.read_text()
            files.cert_file.write_text(whole[:100])
            await eventually(lambda: "cannot be loaded" in caplog.text)
            assert await self.served(server) == before
            files.cert_file.write_text(whole)

    async def test_the_metric_says_when_the_certificate_expires(self, files: TLS) -> None:
        async with Server(whoami, LOCAL, tls=files) as server:
            expires = server.certificates[files.cert_file].until.timestamp()
            assert abs(expires - time.time() - 86400) < 60
            line = f'tls_certificate_expiration_timestamp_seconds{{file="{files.cert_file}"}}'
            values = [text.rpartition(" ")[2] for text in exposition().decode().splitlines() if text.startswith(line)]
            assert [float(value) for value in values] == [expires]


@pytest.mark.parametrize(
    ("start", "code", "why"),
    [
        ("GET / HTTP/1.1", 400, b"missing required Host header"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a", 400, b"too many Host headers"),
        ("GET / HTTP/1.1\r\nhost: a/b", 400, b"malformed Host header"),
        ("GET / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: test", 400, b"missing required Host header"),
        ("GET / HTTP/1.1\r\nhost:", 200, b""),
        ("GET / HTTP/1.1\r\nhost: [::1]:6443", 200, b""),
        ("GET / HTTP/1.0", 200, b""),
    ],
)
async def test_a_request_names_one_host(start: str, code: int, why: bytes) -> None:
    async def app(scope, receive, send) -> None:
        await answer(send, b"")

    async with Server(app, LOCAL) as server, connect(server) as (reader, writer):
        writer.write(f"{start}\r\n\r\n".encode())
        assert (status := await response(reader))[0] == code
        assert why in status[1]


class TestUpgrade:
    @pytest.fixture(params=["plain", "tls"])
    def context(self, request, authority) -> ssl.SSLContext | None:
        return authority.client_context(authority.issue("carol", "carol")) if request.param == "tls" else None

    @pytest.fixture
    def server_tls(self, context, tls: TLS) -> TLS | None:
        return tls if context else None

    async def test_an_upgraded_connection_is_a_stream(self, context, server_tls) -> None:
        async with (
            Server(Upgrading(echo), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"

    async def test_bytes_sent_with_the_request_are_not_lost(self, context, server_tls) -> None:
        async with (
            Server(Upgrading(echo), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer, b"early")
            assert await reader.readexactly(5) == b"early"

    async def test_a_stream_works_after_requests_on_the_same_connection(self, context, server_tls) -> None:
        async with (
            Server(Upgrading(echo), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            assert await request(reader, writer) == (200, b"plain")
            await upgraded(reader, writer, b"x")
            assert await reader.readexactly(1) == b"x"

    async def test_an_upgrade_may_be_a_post_and_be_declined(self, context, server_tls) -> None:
        async with (
            Server(Upgrading(echo), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            headers = "connection: Upgrade", "upgrade: SPDY/3.1", "content-length: 0"
            assert await request(reader, writer, *headers, method="POST") == (200, b"plain")
            assert await reader.read() == b""  # the connection ends: its parser is done

    async def test_a_body_that_comes_with_an_offer_to_upgrade_is_read(self, context, server_tls) -> None:
        async def app(scope, receive, send) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            await answer(send, body)

        async with Server(app, LOCAL, tls=server_tls) as server, connect(server, context) as (reader, writer):
            head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\n"
            writer.write(head + b"a")
            await asyncio.sleep(0.01)
            writer.write(b"bc")
            assert await response(reader) == (200, b"abc")

    async def test_the_loop_is_the_daemons(self) -> None:
        assert isinstance(asyncio.get_running_loop(), Loop)

    async def test_megabytes_pass_both_ways_unharmed(self, context, server_tls) -> None:
        data = bytes(range(256)) * 16384
        async with (
            Server(Upgrading(echo), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer)

            async def send() -> None:
                for start in range(0, len(data), 65536):
                    writer.write(data[start : start + 65536])
                    await writer.drain()

            sending = asyncio.create_task(send())
            assert await reader.readexactly(len(data)) == data
            await sending

    async def test_a_client_that_does_not_read_stops_the_writer(self, context, server_tls) -> None:
        written = 0

        async def flood(stream: Stream, scope) -> None:
            nonlocal written
            while True:
                stream.write(b"x" * 65536)
                written += 65536
                await stream.drain()

        async with (
            Server(Upgrading(flood), LOCAL, tls=server_tls) as server,
            connect(server, context) as (_, writer),
        ):
            writer.transport.pause_reading()
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: test\r\n\r\n")
            await stands_still(lambda: written)
            assert 0 < written < 32 * 1024 * 1024

    async def test_an_application_that_does_not_read_stops_the_client(self, context, server_tls) -> None:
        release = asyncio.Event()
        sent = 0

        async def lazy(stream: Stream, scope) -> None:
            await release.wait()
            await echo(stream, scope)

        async with (
            Server(Upgrading(lazy), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer)

            async def flood() -> None:
                nonlocal sent
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    sent += 65536

            sending = asyncio.create_task(flood())
            stuck = await stands_still(lambda: sent)
            assert 0 < stuck < 32 * 1024 * 1024
            release.set()
            await reader.readexactly(stuck)  # what was sent arrives, and reading goes on
            sending.cancel()

    async def test_the_end_of_the_client_is_the_end_of_the_stream(self, context, server_tls) -> None:
        received = []
        ended = asyncio.Event()

        async def collect(stream: Stream, scope) -> None:
            while data := await stream.read():
                received.append(data)
            await stream.wait_closed()
            stream.write(b"nobody reads this")
            with pytest.raises(ConnectionResetError):
                await stream.drain()
            ended.set()

        async with (
            Server(Upgrading(collect), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer)
            writer.write(b"last words")
            await writer.drain()
            writer.close()
            await asyncio.wait_for(ended.wait(), 5)
        assert b"".join(received) == b"last words"

    async def test_a_stream_ends_with_the_request_that_accepted_it(self, context, server_tls) -> None:
        async def leave(stream: Stream, scope) -> None:
            stream.write(b"bye")

        async with (
            Server(Upgrading(leave), LOCAL, tls=server_tls) as server,
            connect(server, context) as (reader, writer),
        ):
            await upgraded(reader, writer)
            assert await reader.read() == b"bye"


async def sent_until_closed(writer: asyncio.StreamWriter, piece: bytes) -> int:
    """How many bytes of a repeated piece a server takes before it closes the connection."""
    sent = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            while True:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)  # drain alone does not let the loop see the close
    return sent


async def stands_still(count, span: float = 0.2) -> int:
    """The count, once it has not changed for a while."""

    async def unchanged() -> bool:
        before = count()
        await asyncio.sleep(span)
        return before == count() and before > 0

    await eventually(unchanged)
    return count()


class TestBounds:
    async def test_a_head_too_large_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "MAX_HEAD", 10_000)
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 20_000)
            assert (await response(reader))[0] == 431

    async def test_many_small_requests_are_not_one_large_head(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "MAX_HEAD", 200)
        async with Server(whoami, LOCAL) as server, connect(server) as ends:
            for _ in range(20):
                assert await request(*ends) == (200, b"anonymous")

    async def test_a_client_that_does_not_finish_its_head_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.1)
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost:")
            assert await asyncio.wait_for(reader.read(), 5) == b""

    async def test_too_many_headers_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "MAX_HEADERS", 100)
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a:\r\n" * 200)
            assert (await response(reader))[0] == 431

    async def test_trailers_are_dropped_and_bounded_as_a_head_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "MAX_HEAD", 10_000)
        seen: list[bytes] = []

        async def app(scope, receive, send) -> None:
            while (await receive())["more_body"]:
                continue
            seen.extend(name for name, _ in scope["headers"])
            await answer(send, b"read")

        chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
        async with Server(app, LOCAL) as server:
            async with connect(server) as (reader, writer):
                for _ in range(2):
                    writer.write(chunked + b"authorization: x\r\n\r\n")
                    assert await response(reader) == (200, b"read")
                assert b"authorization" not in seen
            async with connect(server) as (reader, writer):
                writer.write(chunked)
                assert await sent_until_closed(writer, b"x: " + b"y" * 1000 + b"\r\n") < 2_000_000

    @pytest.mark.parametrize("rest", [b"400\r\n" + b"y" * 1024 + b"\r\n", b"x: " + b"y" * 1000 + b"\r\n"])
    async def test_a_client_may_not_go_on_sending_after_its_answer(
        self, rest: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_protocol, "MAX_UNREAD", 10_000)
        head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(head + (b"0\r\n" if rest.startswith(b"x") else b""))
            assert await response(reader) == (200, b"anonymous")
            assert await sent_until_closed(writer, rest) < 2_000_000

    async def test_a_body_that_comes_after_its_answer_in_time_does_no_harm(self) -> None:
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n")
                assert await response(reader) == (200, b"anonymous")
                writer.write(b"y" * 300_000)

    async def test_a_request_that_is_answered_must_end_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.1)
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
            assert await response(reader) == (200, b"anonymous")
            assert await asyncio.wait_for(reader.read(), 30) == b""

    async def test_what_is_no_http_gets_400(self) -> None:
        async with Server(whoami, LOCAL) as server, connect(server) as (reader, writer):
            writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert (await response(reader))[0] == 400


class TestLife:
    async def test_several_addresses_serve_the_same(self) -> None:
        addresses = [("127.0.0.1", 0), ("127.0.0.2", 0)]
        async with Server(whoami, addresses) as server:
            for host, port in server.addresses:
                reader, writer = await asyncio.open_connection(host, port)
                assert await request(reader, writer) == (200, b"anonymous")
                writer.close()

    async def test_an_address_in_use_is_an_error_that_names_it(self) -> None:
        async with Server(whoami, LOCAL) as server:
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}"):
                async with Server(whoami, [("127.0.0.1", 0), ("127.0.0.1", server.port)]):
                    pass

    async def test_the_server_is_down_in_time_though_streams_stay_open(self, tls: TLS, authority) -> None:
        async def app(scope, receive, send) -> None:
            if scope["path"] == "/watch":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"event", "more_body": True})
                await for_ever()
            await Upgrading(deaf)(scope, receive, send)

        async def deaf(stream: Stream, scope) -> None:
            await for_ever()

        async def for_ever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        cancelled: list[bool] = []

        server = Server(app, LOCAL, tls=tls)
        running = asyncio.create_task(server.run())
        await eventually(lambda: server.addresses)
        context = authority.client_context()
        async with connect(server, context) as watch, connect(server, context) as stream, connect(server, context):
            watch[1].write(b"GET /watch HTTP/1.1\r\nhost: a\r\n\r\n")
            await watch[0].readuntil(b"event")
            await upgraded(*stream)
            started = time.monotonic()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert time.monotonic() - started < 3
            assert len(cancelled) == 2
            for reader, _ in (watch, stream):
                try:
                    await asyncio.wait_for(reader.read(), 1)
                except (ConnectionError, ssl.SSLError):
                    continue

    async def test_streams_that_listen_end_at_once(self) -> None:
        async def app(scope, receive, send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"event", "more_body": True})
            await scope["state"]["stopping"].wait()
            await send({"type": "http.response.body", "body": b"bye"})

        async with Server(app, LOCAL) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.readuntil(b"event")
            started = time.monotonic()
        assert time.monotonic() - started < 1
        assert b"bye" in await reader.read()
        writer.close()

    async def test_new_connections_are_refused_while_stopping(self) -> None:
        holding = asyncio.Event()

        async def app(scope, receive, send) -> None:
            holding.set()
            await asyncio.sleep(0.3)
            await answer(send, b"done")

        server = Server(app, LOCAL)
        running = asyncio.create_task(server.run())
        await eventually(lambda: server.addresses)
        port = server.port
        async with connect(server) as ends:
            asking = asyncio.create_task(request(*ends))
            await holding.wait()
            running.cancel()
            await server.stopping.wait()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            assert await asking == (200, b"done")  # what was under way is finished
            await asyncio.wait([running])
