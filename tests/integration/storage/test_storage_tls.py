"""Etcd over TLS with certificates on both sides."""

import asyncio
from pathlib import Path
from shutil import copy

import pytest

from apiserver.storage import Etcd, EtcdConfig
from apiserver.storage.etcd import channel, requests
from apiserver.storage.etcd.errors import Unavailable
from tests.certificates import Authority
from tests.integration.conftest import EtcdServer
from tests.support import eventually


async def test_etcd_is_reached_over_tls_with_a_client_certificate_and_not_without(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("etcd", "etcd")  # serves both sides
    ca, cert, key = str(authority.cert), str(pair.cert), str(pair.key)
    server = EtcdServer(
        tmp_path, f"--trusted-ca-file={ca}", f"--cert-file={cert}", f"--key-file={key}", "--client-cert-auth"
    )
    server.config = EtcdConfig((server.url.replace("http:", "https:"),), ca, cert, key)
    try:
        await server.start()
        client = Etcd(server.config)
        assert await client.revision() >= 1
        await client.close()
        nobody = Etcd(EtcdConfig(server.config.endpoints, ca, request_timeout=1))
        with pytest.raises(Unavailable):
            await nobody.revision()
        await nobody.close()
    finally:
        server.kill()


async def test_later_calls_are_made_with_the_certificate_of_now_and_a_watch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "CHECK_FILES", 0.0)
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    serving = authority.issue("etcd", "etcd")
    ca, cert, key = authority.cert, tmp_path / "client.crt", tmp_path / "client.key"
    server = EtcdServer(
        tmp_path,
        f"--trusted-ca-file={ca}",
        f"--cert-file={serving.cert}",
        f"--key-file={serving.key}",
        "--client-cert-auth",
    )
    url = server.url.replace("http:", "https:")
    server.config = EtcdConfig((url,), str(ca), str(serving.cert), str(serving.key))

    def renew(issuer: Authority) -> None:
        pair = issuer.issue(f"client-of-{issuer.cert.stem}", "apiserver")
        copy(pair.key, key)
        copy(pair.cert, cert)

    renew(authority)
    client, other = Etcd(EtcdConfig((url,), str(ca), str(cert), str(key), request_timeout=1)), Etcd(server.config)
    seen: list[str] = []

    async def follow(start: int) -> None:
        async for revision in client.watch(start):
            seen.extend(change.key for change in revision.changes)

    try:
        await server.start()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(await client.revision() + 1))
            await other.transact([], [requests.put("/before", b"x")])
            await eventually(lambda: seen == ["/before"])
            renew(stranger)
            with pytest.raises(Unavailable):
                await client.revision()
            await other.transact([], [requests.put("/meanwhile", b"x")])
            await eventually(lambda: seen == ["/before", "/meanwhile"])
            renew(authority)
            assert await client.revision() > 1
            await client.transact([], [requests.put("/after", b"x")])
            await eventually(lambda: seen == ["/before", "/meanwhile", "/after"])
            following.cancel()
    finally:
        await client.close()
        await other.close()
        server.kill()
