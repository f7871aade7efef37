"""Who a client certificate says a client is, as long as it is valid, on connections and sessions that outlive it."""

import asyncio
import json
import socket
import ssl
from datetime import timedelta
from typing import Any

from tests.certificates import KeyPair
from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
LIFE = 3.0


def context_of(server: ApiserverProcess, pair: KeyPair) -> ssl.SSLContext:
    context = server.ssl_context()
    context.load_cert_chain(pair.cert, pair.key)
    return context


class Connection:
    """One TLS connection, kept open."""

    def __init__(
        self, server: ApiserverProcess, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10.0)
        self.socket = context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)

    def who_am_i(self) -> tuple[int, Any]:
        """The answer's code, and the name of the user."""
        body = b'{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}'
        head = f"POST {REVIEW} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(4096)
        answer_head, _, answer = data.partition(b"\r\n\r\n")
        length = int(answer_head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(answer) < length:
            answer += self.socket.recv(4096)
        code = int(data.split()[1])
        return code, json.loads(answer)["status"]["userInfo"]["username"] if code == 201 else ""


async def test_a_certificate_that_expires_is_refused_on_its_connection_and_in_a_resumed_session(
    shared: ApiserverProcess,
) -> None:
    context = context_of(shared, shared.authority.issue("brief", "brief", life=timedelta(seconds=LIFE)))
    connection = await asyncio.to_thread(Connection, shared, context)
    assert await asyncio.to_thread(connection.who_am_i) == (201, "brief")
    session = connection.socket.session
    assert session is not None

    async def is_refused() -> bool:
        return (await asyncio.to_thread(connection.who_am_i))[0] == 401

    await eventually(is_refused, interval=0.2)
    resumed = await asyncio.to_thread(Connection, shared, context, session)
    assert resumed.socket.session_reused
    assert (await asyncio.to_thread(resumed.who_am_i))[0] == 401
    for used in (connection, resumed):
        used.socket.close()


async def test_the_last_common_name_counts_and_without_any_nobody_is_authenticated(shared: ApiserverProcess) -> None:
    two = shared.authority.issue("two", ("system:node:node-1", "mallory"))
    none = shared.authority.issue("none", (), ("system:masters",))
    for pair, expected in ((two, (201, "mallory")), (none, (401, ""))):
        connection = await asyncio.to_thread(Connection, shared, context_of(shared, pair))
        assert await asyncio.to_thread(connection.who_am_i) == expected
        connection.socket.close()
