"""An apiserver whose certificate is about to expire says so, and serves a new one without a restart."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy

import pytest

from apimachinery import errors, meta
from apimachinery.types.authentication_v1 import SelfSubjectReview
from apimachinery.types.core_v1 import ConfigMap, Event
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client, Config
from kube_client.config import Material
from tests.certificates import Authority, KeyPair
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

SOON = timedelta(minutes=5)


@pytest.fixture
async def server(tmp_path: Path, etcd: EtcdServer):
    made = ApiserverProcess(tmp_path, etcd.url)
    put(tmp_path, made.authority.issue("first", "kube-apiserver", life=SOON), made.authority.cert.read_text())
    made.command += (
        f"--tls-cert-file={tmp_path / 'serving.crt'}",
        f"--tls-private-key-file={tmp_path / 'serving.key'}",
        f"--client-ca-file={tmp_path / 'clients.crt'}",
    )
    try:
        await made.start()
        yield made
    finally:
        made.kill()


def put(folder: Path, serving: KeyPair, client_authorities: str) -> None:
    """Replace the server's files."""
    (folder / "clients.crt").write_text(client_authorities)
    copy(serving.key, folder / "serving.key")
    copy(serving.cert, folder / "serving.crt")


async def whoami(server: ApiserverProcess, pair: KeyPair) -> str:
    """Over a new connection; "" if the server does not trust the certificate."""
    authority = Material(path=server.authority.cert)
    config = Config(server.url, authority, Material(path=pair.cert), Material(path=pair.key))
    try:
        async with Client(config) as client:
            user = (await client.resource(SelfSubjectReview).create(SelfSubjectReview())).status.user_info
            return (user.username or "") if user else ""
    except errors.ServiceUnavailable:
        return ""


async def test_a_certificate_is_replaced_under_a_watch(server: ApiserverProcess, tmp_path: Path) -> None:
    others = Authority(tmp_path, "others")
    alice = others.issue("alice", "alice")
    async with server.client() as client:
        config_maps = client.resource(ConfigMap)
        watch = config_maps.watch(namespace="default", resource_version="0")
        await config_maps.create(ConfigMap(metadata=ObjectMeta(name="before", namespace="default")))
        names = [meta.name_of((await anext(watch)).object)]
        assert await whoami(server, alice) == ""

        before = ssl.get_server_certificate(("127.0.0.1", server.port))
        put(
            tmp_path,
            server.authority.issue("second", "kube-apiserver"),
            server.authority.cert.read_text() + others.cert.read_text(),
        )
        await eventually(lambda: ssl.get_server_certificate(("127.0.0.1", server.port)) != before, interval=0.2)
        assert await whoami(server, alice) == "alice"
        await config_maps.create(ConfigMap(metadata=ObjectMeta(name="after", namespace="default")))
        while names[-1] != "after":
            names.append(meta.name_of((await anext(watch)).object))
        await watch.aclose()
    async with server.http() as http:
        exposed = (await http.get("/metrics")).text
    [line] = [line for line in exposed.splitlines() if line.startswith("tls_certificate") and "serving.crt" in line]
    until = datetime.fromtimestamp(float(line.split()[1]), UTC)
    assert until > datetime.now(UTC) + timedelta(hours=20)
    assert "apiserver_client_certificate_expiration_seconds_count" in exposed


async def test_an_event_warns_of_a_certificate_that_expires_soon(server: ApiserverProcess, tmp_path: Path) -> None:
    async with server.client() as client:

        async def warnings() -> list[Event]:
            events = (await client.resource(Event).list(namespace="default")).items
            return [event for event in events if event.reason == "CertificateExpiring"]

        (event,) = await eventually(warnings)
    assert (event.involved_object.kind, event.involved_object.name) == ("Service", "kubernetes")
    assert str(tmp_path / "serving.crt") in (event.message or "")
