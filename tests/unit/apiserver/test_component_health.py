"""Component statuses are asked for, never stored."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from apimachinery import errors
from apiserver.registry.core import component_health
from apiserver.registry.core.component_health import checks, statuses


@pytest.fixture
async def healthy_port() -> AsyncIterator[int]:
    """A daemon that says ok, in plain HTTP."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(4)).startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_who_answers_is_healthy_and_who_does_not_is_not(
    healthy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def etcd() -> None:
        raise errors.ServiceUnavailable("etcd did not answer within 2.0 s")

    daemons = (("scheduler", healthy_port), ("controller-manager", closed_port()))
    monkeypatch.setattr(component_health, "DAEMONS", daemons)
    conditions = {status.metadata.name: (status.conditions or [])[0] for status in await statuses(checks(etcd))}
    assert list(conditions) == ["controller-manager", "etcd-0", "scheduler"]
    assert (conditions["scheduler"].status, conditions["scheduler"].message) == ("True", "ok")
    assert (conditions["etcd-0"].status, conditions["etcd-0"].message) == ("False", "etcd did not answer within 2.0 s")
    assert conditions["controller-manager"].status == "False"
    assert conditions["controller-manager"].message
