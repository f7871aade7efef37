"""Users whom an authenticating proxy names in headers, and nobody else by the same headers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import Authority, KeyPair
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.integration.conftest import EtcdServer

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
HEADERS = [
    ("X-Remote-User", "ann"),
    ("X-Remote-Group", "dev"),
    ("X-Remote-Group", "ops"),
    ("X-Remote-Extra-acme.com%2Fproject", "x"),
]


class Proxied:
    def __init__(self, folder: Path, etcd: EtcdServer) -> None:
        self.authority = Authority(folder, "proxy-ca")
        flags = (f"--requestheader-client-ca-file={self.authority.cert}", "--requestheader-allowed-names=front,back")
        self.server = ApiserverProcess(folder, etcd.url, *flags)

    async def who(self, pair: KeyPair | None, headers: list[tuple[str, str]]) -> tuple[int, Any]:
        """Status and user of a request."""
        tls = self.server.ssl_context()
        if pair is not None:
            tls.load_cert_chain(pair.cert, pair.key)
        async with httpx.AsyncClient(base_url=self.server.url, verify=tls, trust_env=False) as client:
            reply = await client.post(REVIEW, json={}, headers=headers)
        return reply.status_code, reply.json()["status"]["userInfo"] if reply.status_code == 201 else None


@pytest.fixture
async def proxied(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[Proxied]:
    proxied = Proxied(tmp_path, etcd)
    await proxied.server.start()
    yield proxied
    proxied.server.kill()


async def test_a_proxy_is_believed_and_nobody_else(proxied: Proxied) -> None:
    front = proxied.authority.issue("front", "front", ("system:masters",))
    code, user = await proxied.who(front, HEADERS)
    assert code == 201
    assert (user["username"], user["groups"]) == ("ann", ["dev", "ops", "system:authenticated"])
    assert user["extra"] == {"acme.com/project": ["x"]}

    assert (await proxied.who(front, []))[0] == 401, "a proxy is not a user, whatever its certificate says"
    other = proxied.authority.issue("other", "other", ("system:masters",))
    assert (await proxied.who(other, HEADERS))[0] == 401, "its name is not one that is allowed"
    assert (await proxied.who(other, []))[0] == 401

    code, user = await proxied.who(proxied.server.admin, HEADERS)
    assert (code, user["username"]) == (201, "admin"), "headers with a user's own certificate mean nothing"
    assert (await proxied.who(None, HEADERS))[0] == 401
    code, user = await proxied.who(None, [*HEADERS, ("Authorization", f"Bearer {TOKEN}")])
    assert user["username"] == "admin"
    assert "extra" not in user
