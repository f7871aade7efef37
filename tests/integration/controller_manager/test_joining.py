"""How a node joins: a bootstrap token, a signing request, its approval and signature, and what the certificate is worth."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from apimachinery import errors, meta
from apimachinery.core import bootstrap_tokens, cluster_info, signing_requests
from apimachinery.core.bootstrap_tokens import SIGNING, Token
from apimachinery.core.signing_requests import KUBELET_CLIENT, KUBELET_SERVING
from apimachinery.types.authentication_v1 import SelfSubjectReview
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apimachinery.types.core_v1 import ConfigMap, Node, NodeAddress, Secret
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.rbac_v1 import ClusterRoleBinding
from kube_client import Client, Config
from kube_client.config import Material
from kubelet.certificates import metrics
from kubelet.certificates.bootstrap import has_valid_certificate, join
from kubelet.certificates.client import client_identity
from kubelet.certificates.manager import CertificateManager
from kubelet.certificates.request import serving_template
from kubelet.certificates.store import CertificateStore, Pair
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.controller_manager.conftest import FLAGS
from tests.integration.daemon_process import DaemonProcess
from tests.requests_for_certificates import CLIENT, SERVER, pkcs10, signing_request
from tests.support import eventually

HOUR = timedelta(hours=1)
NODE = "node-7"


@pytest.fixture
async def apiserver(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path, etcd.url, "--enable-bootstrap-token-auth")
    try:
        await server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def signers(tmp_path: Path, apiserver: ApiserverProcess) -> AsyncIterator[DaemonProcess]:
    """A controller manager whose certificates live for ten seconds."""
    authority = apiserver.authority
    signing = (f"--cluster-signing-cert-file={authority.cert}", f"--cluster-signing-key-file={authority.write_key()}")
    arguments = (*FLAGS, *signing, "--cluster-signing-duration=10s")
    process = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig, *arguments)
    try:
        await process.start()
        yield process
    finally:
        process.stop()


async def new_token(client: Client, life: timedelta = HOUR, **fields) -> Token:
    token = Token.generate()
    await client.resource(Secret).create(bootstrap_tokens.secret_for(token, datetime.now(UTC) + life, **fields))
    return token


def bearing(apiserver: ApiserverProcess, token: Token) -> Config:
    return Config(apiserver.url, Material(path=apiserver.authority.cert), token=Material(data=str(token).encode()))


async def whoami(config: Config) -> tuple[str, list[str]]:
    async with Client(config) as client:
        user = (await client.resource(SelfSubjectReview).create(SelfSubjectReview())).status.user_info
        assert user is not None
        return user.username or "", user.groups or []


def write_bootstrap_kubeconfig(path: Path, apiserver: ApiserverProcess, token: Token) -> Path:
    path.write_text(
        apiserver.kubeconfig.read_text().split("users:")[0] + f"users: [{{name: admin, user: {{token: {token}}}}}]\n"
    )
    return path


@pytest.mark.usefixtures("signers")
async def test_a_token_becomes_the_certificate_of_a_node_which_is_renewed_before_it_expires(
    tmp_path: Path, apiserver: ApiserverProcess, client: Client
) -> None:
    token = await new_token(client)
    bootstrap = write_bootstrap_kubeconfig(tmp_path / "bootstrap", apiserver, token)
    kubeconfig, pki = tmp_path / "kubelet.kubeconfig", tmp_path / "pki"
    async with asyncio.timeout(20):
        identity = await client_identity(NODE, kubeconfig, bootstrap, pki, rotates=True)
    assert identity.store is not None
    assert (kubeconfig.stat().st_mode & 0o777, identity.store.current.stat().st_mode & 0o777) == (0o600, 0o600)
    assert await whoami(identity.config) == ("system:node:node-7", ["system:nodes", "system:authenticated"])

    first = identity.store.load()
    assert first is not None
    async with Client(identity.config) as kubelet:
        manager = identity.manager(NODE, kubelet)
        assert manager is not None
        task = asyncio.create_task(manager.run())
        try:
            renewed = await eventually(lambda: later(identity.store, first), timeout=30)
            assert renewed.certificate.public_key() != first.certificate.public_key()
            await eventually(lambda: first.until < datetime.now(UTC))
            review = await kubelet.resource(SelfSubjectReview).create(SelfSubjectReview())
            assert review.status.user_info is not None
            assert review.status.user_info.username == "system:node:node-7"
        finally:
            task.cancel()
            await asyncio.wait([task])


def later(store: CertificateStore | None, first: Pair) -> Pair | None:
    """The current certificate, once it is one that lives longer."""
    pair = store.load() if store is not None else None
    return pair if pair is not None and pair.until > first.until else None


async def test_a_kubelet_that_ends_while_it_waits_goes_on_with_the_same_request(
    tmp_path: Path, apiserver: ApiserverProcess, client: Client
) -> None:
    bootstrap = write_bootstrap_kubeconfig(tmp_path / "bootstrap", apiserver, await new_token(client))
    kubeconfig, store = tmp_path / "kubelet.kubeconfig", CertificateStore(tmp_path / "pki", "kubelet-client")
    requests = client.resource(CertificateSigningRequest)

    async def requested() -> list[str]:
        return [meta.name_of(csr) for csr in (await requests.list()).items]

    names = []
    for _ in range(2):
        task = asyncio.create_task(join(NODE, bootstrap, kubeconfig, store))
        names.append(await eventually(requested))
        task.cancel()
        await asyncio.wait([task])
    assert names[0] == names[1]
    assert len(names[0]) == 1
    assert not has_valid_certificate(kubeconfig)


@pytest.mark.usefixtures("signers")
async def test_tokens_that_are_expired_or_unknown_are_refused_and_expired_ones_deleted(
    apiserver: ApiserverProcess, client: Client
) -> None:
    token = await new_token(client, life=timedelta(seconds=3))
    user, groups = await whoami(bearing(apiserver, token))
    assert user == f"system:bootstrap:{token.id}"
    assert "system:bootstrappers" in groups
    expired = await new_token(client, life=-HOUR)
    for stranger in (
        expired,
        Token(token.id, "0123456789abcdef"),
        Token.generate(),
        await new_token(client, usages=[SIGNING]),
    ):
        with pytest.raises(errors.Unauthorized):
            await whoami(bearing(apiserver, stranger))
    secrets = client.resource(Secret)

    async def gone() -> bool:
        names = {meta.name_of(secret) for secret in (await secrets.list(namespace="kube-system")).items}
        return not names & {token.secret_name, expired.secret_name}

    await eventually(gone)
    with pytest.raises(errors.Unauthorized):
        await whoami(bearing(apiserver, token))


@pytest.mark.usefixtures("signers")
async def test_cluster_info_is_signed_with_the_tokens_that_there_are(
    apiserver: ApiserverProcess, client: Client
) -> None:
    authority = apiserver.authority.cert.read_bytes()
    config_maps = client.resource(ConfigMap)
    await config_maps.create(cluster_info.config_map(apiserver.url, authority))
    token, other = await new_token(client), await new_token(client)
    pin = cluster_info.public_key_hash(authority)

    async def info() -> ConfigMap:
        return await config_maps.get(cluster_info.NAME, namespace=cluster_info.NAMESPACE)

    async def trusted(token: Token) -> tuple[str, bytes] | None:
        try:
            return cluster_info.trusted_cluster(await info(), token, [pin])
        except cluster_info.Untrusted:
            return None

    for known in (token, other):
        assert await eventually(lambda known=known: trusted(known)) == (apiserver.url, authority)
    with pytest.raises(cluster_info.Untrusted):
        cluster_info.trusted_cluster(await info(), token, ["sha256:" + "0" * 64])
    await client.resource(Secret).delete(other.secret_name, namespace="kube-system")

    async def withdrawn() -> bool:
        return await trusted(other) is None

    await eventually(withdrawn)
    assert await trusted(token) == (apiserver.url, authority)


@pytest.mark.usefixtures("signers")
async def test_a_serving_certificate_is_issued_for_a_nodes_own_addresses_and_no_others(
    tmp_path: Path, apiserver: ApiserverProcess, client: Client
) -> None:
    own = apiserver.authority.issue("kubelet", f"system:node:{NODE}", ("system:nodes",))
    config = Config(
        apiserver.url, Material(path=apiserver.authority.cert), Material(path=own.cert), Material(path=own.key)
    )
    addresses = [NodeAddress(type="InternalIP", address="192.0.2.7"), NodeAddress(type="Hostname", address=NODE)]
    nodes, store = client.resource(Node), CertificateStore(tmp_path / "pki", "kubelet-server")
    node = await nodes.create(Node(metadata=ObjectMeta(name=NODE)))
    early = pkcs10(f"system:node:{NODE}", ("system:nodes",), names=[NODE], addresses=["192.0.2.7"])
    async with Client(config) as kubelet:  # before the node says that it has the address
        await kubelet.resource(CertificateSigningRequest).create(
            signing_request("early", early, KUBELET_SERVING, SERVER)
        )
    node.status.addresses = addresses
    node = await nodes.update_status(node)
    async with Client(config) as kubelet:
        manager = CertificateManager(store, kubelet, lambda: serving_template(node), metrics.SERVER_FAILURES)
        task = asyncio.create_task(manager.run())
        await asyncio.wait_for(manager.obtained.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        pair = store.load()
        assert pair is not None
        template = serving_template(node)
        assert template is not None
        assert template.is_met_by(pair.certificate)

        foreign = pkcs10(f"system:node:{NODE}", ("system:nodes",), names=[NODE], addresses=["192.0.2.8"])
        requests = kubelet.resource(CertificateSigningRequest)
        await requests.create(signing_request("foreign", foreign, KUBELET_SERVING, SERVER))
        wrong = pkcs10("alice", ("system:masters",))
        await requests.create(signing_request("wrong", wrong, KUBELET_CLIENT, CLIENT))

    async def approved_later() -> bool:
        return signing_requests.is_approved(await client.resource(CertificateSigningRequest).get("early"))

    await eventually(approved_later)
    approval = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "by hand"}]}}
    all_requests = client.resource(CertificateSigningRequest)
    await all_requests.patch("wrong", approval, kind="merge", subresource="approval")

    async def failed() -> str | None:
        failure = signing_requests.condition(await all_requests.get("wrong"), signing_requests.FAILED)
        return failure.message if failure is not None else None

    assert "organization" in (await eventually(failed) or "")
    assert not signing_requests.is_decided(await all_requests.get("foreign"))
    await all_requests.patch("foreign", approval, kind="merge", subresource="approval")

    async def signed() -> str | None:
        return (await all_requests.get("foreign")).status.certificate

    certificate = x509.load_pem_x509_certificate(base64.b64decode(await eventually(signed) or ""))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(apiserver.authority.cert.read_bytes()))


async def test_the_command_of_a_token_leads_a_machine_to_the_cluster(
    tmp_path: Path, apiserver: ApiserverProcess, client: Client
) -> None:
    command = [sys.executable, "-m", "deploy.joining.token", f"--kubeconfig={apiserver.kubeconfig}"]
    for _ in range(2):  # what is there already is no obstacle
        finished = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
        printed = finished.stdout.split()
    assert printed[0] == "kube-join"
    given = dict(flag.removeprefix("--").split("=", 1) for flag in printed[1:])
    token = Token.parse(given["token"])
    assert token is not None
    assert given["server"] == apiserver.url
    assert given["discovery-token-ca-cert-hash"] == cluster_info.public_key_hash(apiserver.authority.cert.read_bytes())
    assert (await whoami(bearing(apiserver, token)))[0] == f"system:bootstrap:{token.id}"
    bindings = {meta.name_of(binding) for binding in (await client.resource(ClusterRoleBinding).list()).items}
    assert {"kubeadm:kubelet-bootstrap", "kubeadm:node-autoapprove-bootstrap"} <= bindings
