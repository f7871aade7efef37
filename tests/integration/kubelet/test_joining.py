"""A kubelet that has nothing but a bootstrap token, and certificates that live for seconds. It needs no engine for that."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from apimachinery import errors, meta
from apimachinery.core import bootstrap_tokens
from apimachinery.core.bootstrap_tokens import Token
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, Secret
from kube_client import Client
from kubelet.certificates.store import CertificateStore, Pair
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.integration.kubelet.cluster import ADDRESS, NODE, name_of_namespace, own_namespace
from tests.processes import HttpProcess
from tests.support import eventually

SHORT, LONG = 8, 30
"""Seconds that a certificate lives. It is valid from five minutes ago, so a kubelet that starts replaces either at once."""


class Kubelet(HttpProcess):
    def __init__(self, folder: Path, apiserver: ApiserverProcess, token: Token) -> None:
        self.pki = folder / "pki"
        self.client_store = CertificateStore(self.pki, "kubelet-client")
        self.server_store = CertificateStore(self.pki, "kubelet-server")
        bootstrap = folder / "bootstrap.kubeconfig"
        cluster = apiserver.kubeconfig.read_text().partition("users:")[0]
        bootstrap.write_text(f"{cluster}users: [{{name: admin, user: {{token: {token}}}}}]\n")
        super().__init__(
            folder / "kubelet.log", 10248, sys.executable, "-m", "kubelet",
            f"--bootstrap-kubeconfig={bootstrap}", f"--kubeconfig={folder / 'kubelet.kubeconfig'}",
            f"--cert-dir={self.pki}", "--rotate-certificates", "--rotate-server-certificates",
            f"--client-ca-file={apiserver.authority.cert}", f"--hostname-override={NODE}", f"--node-ip={ADDRESS}",
            f"--root-dir={folder / 'kubelet'}", f"--docker-endpoint=unix://{folder / 'no-engine.sock'}",
        )  # fmt: skip


@dataclass
class Cluster:
    apiserver: ApiserverProcess
    client: Client
    token: Token
    kubelet: Kubelet


@pytest.fixture
async def joining(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """A cluster whose kubelet is not started yet; its parameter is how long certificates live."""
    if os.geteuid():
        pytest.skip("needs root")
    with own_namespace(name_of_namespace()):
        etcd = EtcdServer(tmp_path)
        apiserver = ApiserverProcess(tmp_path, etcd.url, "--enable-bootstrap-token-auth")
        authority = apiserver.authority
        signing = f"--cluster-signing-cert-file={authority.cert}", f"--cluster-signing-key-file={authority.write_key()}"
        duration = f"--cluster-signing-duration={request.param}s"
        controllers = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig, *signing, duration)
        token = Token.generate()
        kubelet = Kubelet(tmp_path, apiserver, token)
        try:
            await etcd.start()
            await apiserver.start()
            controllers.spawn()
            async with apiserver.client() as client:
                expiration = datetime.now(UTC) + timedelta(hours=1)
                await client.resource(Secret).create(bootstrap_tokens.secret_for(token, expiration))
                yield Cluster(apiserver, client, token, kubelet)
        finally:
            for process in (kubelet, controllers, apiserver, etcd):
                process.stop()


class Connection:
    """An HTTP connection to the kubelet, as an administrator."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True))

    async def status(self) -> int:
        """What it answers to one more request."""
        self._writer.write(b"GET /pods HTTP/1.1\r\nhost: kubelet\r\n\r\n")
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self._reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        return int(head.split()[1])


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Connection]:
    """Raises OSError while nothing serves there."""
    context = ssl.create_default_context(cafile=str(cluster.apiserver.authority.cert))
    context.load_cert_chain(cluster.apiserver.admin.cert, cluster.apiserver.admin.key)
    reader, writer = await asyncio.open_connection(ADDRESS, 10250, ssl=context)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def served(cluster: Cluster) -> x509.Certificate | None:
    """The certificate that new connections see."""
    try:
        async with connected(cluster) as connection:
            return connection.certificate
    except OSError:
        return None


def renewed(store: CertificateStore, before: Pair | None) -> Pair | None:
    pair = store.load()
    return pair if pair is not None and (before is None or pair.certificate != before.certificate) else None


@pytest.mark.parametrize("joining", [SHORT], indirect=True)
async def test_a_kubelet_joins_and_renews_its_certificates_without_a_restart(joining: Cluster) -> None:
    kubelet, client = joining.kubelet, joining.client
    kubelet.spawn()
    pid = kubelet.pid
    first = await eventually(lambda: renewed(kubelet.client_store, None))
    node = await eventually(lambda: registered(client))
    assert [address.address for address in node.status.addresses or ()] == [ADDRESS, NODE]
    certificate = await eventually(lambda: served(joining))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == {ADDRESS, NODE}

    async with connected(joining) as connection:
        assert await connection.status() == 200

        async def other() -> bool:
            now = await served(joining)
            return now is not None and now.public_key() != connection.certificate.public_key()

        await eventually(other, timeout=2 * SHORT + 15)
        assert await connection.status() == 200
    await eventually(lambda: renewed(kubelet.client_store, first))
    await eventually(lambda: lease_after(client, first.until), timeout=SHORT + 20)
    assert kubelet.running
    assert kubelet.pid == pid
    _, exposed = await kubelet.get("/metrics")
    for metric in ("kubelet_certificate_manager_client_ttl_seconds", "kubelet_certificate_manager_server_ttl_seconds"):
        [line] = [line for line in exposed.splitlines() if line.startswith(f"{metric} ")]
        assert 0 < float(line.split()[1]) <= SHORT


@pytest.mark.parametrize("joining", [LONG], indirect=True)
async def test_a_kubelet_that_was_killed_goes_on_with_its_certificate_and_needs_no_token_again(
    joining: Cluster,
) -> None:
    kubelet, client = joining.kubelet, joining.client
    kubelet.spawn()
    await eventually(lambda: registered(client))
    before = await eventually(lambda: renewed(kubelet.client_store, None))
    await client.resource(Secret).delete(joining.token.secret_name, namespace="kube-system")
    kubelet.stop(signal.SIGKILL)
    kubelet.spawn()
    await eventually(lambda: renewed(kubelet.client_store, before))
    requestors = {csr.spec.username for csr in (await client.resource(CertificateSigningRequest).list()).items}
    assert requestors == {f"system:bootstrap:{joining.token.id}", f"system:node:{NODE}"}


async def registered(client: Client) -> Node | None:
    try:
        node = await client.resource(Node).get(NODE)
    except errors.NotFound:
        return None
    return node if node.status.addresses else None


async def lease_after(client: Client, moment: datetime) -> bool:
    """Whether the kubelet has renewed its lease since."""
    lease = await client.resource(Lease).get(NODE, namespace="kube-node-lease")
    return meta.parse_time(lease.spec.renew_time or "") > moment
