"""When the kubelet renews a certificate, and what it does with one that it cannot get."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cryptography import x509

from apimachinery.core import signing_requests
from apimachinery.types import core_v1
from apimachinery.types.meta_v1 import ObjectMeta
from component_base.metrics import Counter, registry
from component_base.serving import Server
from controller_manager.certificate_authority import CertificateAuthority
from kube_client import Client, Config
from kubelet.certificates import manager as manager_module
from kubelet.certificates.manager import CertificateManager
from kubelet.certificates.request import client_template, serving_template
from kubelet.certificates.store import CertificateStore, key_to_pem
from tests.certificates import Authority
from tests.support import eventually

NODE = "node-7"


class Signer:
    """An API of signing requests alone, which signs each at once, or says something else."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self.requests: dict[str, Any] = {}
        self.condition = ""
        self.lives = timedelta(hours=1)
        self.tokens: list[bytes] = []
        self._authority = authority

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            self.tokens += [value for name, value in scope["headers"] if name == b"authorization"]
            csr = msgspec.json.decode((await receive())["body"])
            name, status = csr["metadata"]["name"], 201
            if name in self.requests:
                status = 409
            else:
                self.requests[name] = self._decide(csr)
        else:
            name, status = scope["path"].rsplit("/", 1)[1], 200
        body = {"kind": "Status", "reason": "AlreadyExists", "code": 409} if status == 409 else self.requests[name]
        content = msgspec.json.encode(body)
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _decide(self, csr: dict[str, Any]) -> dict[str, Any]:
        if self.condition:
            return {**csr, "status": {"conditions": [{"type": self.condition, "status": "True", "reason": "Because"}]}}
        requested = signing_requests.parse(csr["spec"]["request"])
        pem = self._authority.sign(requested, csr["spec"]["usages"], self.lives, datetime.now(UTC))
        return {**csr, "status": {"certificate": base64.b64encode(pem).decode()}}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    authority = Authority(tmp_path)
    return Signer(CertificateAuthority(authority.cert, authority.write_key()))


@pytest.fixture
async def client(signer: Signer) -> AsyncIterator[Client]:
    async with (
        Server(signer, [("127.0.0.1", 0)]) as server,
        Client(Config(f"http://127.0.0.1:{server.port}")) as client,
    ):
        yield client


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "pki", "kubelet-client")


@pytest.fixture
def failures() -> Any:
    counter = Counter("failures_of_the_test", "")
    yield counter
    registry.unregister(counter)


async def until(manager: CertificateManager, condition: Any) -> None:
    """Run it that long."""
    task = asyncio.create_task(manager.run())
    try:
        await eventually(condition)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_certificate_is_requested_once_and_kept(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter
) -> None:
    template = client_template(NODE)
    manager = CertificateManager(store, client, lambda: template, failures)
    await until(manager, manager.obtained.is_set)
    pair = store.load()
    assert pair is not None
    assert template.is_met_by(pair.certificate)
    again = CertificateManager(store, client, lambda: template, failures)
    assert again.obtained.is_set()
    assert not again.is_due(template, pair.since + (pair.until - pair.since) * 0.69)
    assert again.is_due(template, pair.since + (pair.until - pair.since) * 0.91)
    assert len(signer.requests) == 1


async def test_the_names_of_a_node_that_change_make_another_certificate(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "_LOOK", 0.05)
    node = core_v1.Node(metadata=ObjectMeta(name=NODE))
    manager = CertificateManager(store, client, lambda: serving_template(node), failures)

    def addresses_served() -> list[str]:
        pair = store.load()
        if pair is None:
            return []
        names = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(address) for address in names.get_values_for_type(x509.IPAddress)]

    def move(address: str) -> None:
        node.status.addresses = [core_v1.NodeAddress(type="InternalIP", address=address)]

    move("192.0.2.1")
    await until(manager, lambda: addresses_served() == ["192.0.2.1"])
    move("192.0.2.2")
    await until(manager, lambda: addresses_served() == ["192.0.2.2"])


def test_a_node_without_addresses_gets_no_serving_certificate() -> None:
    assert serving_template(None) is None
    assert serving_template(core_v1.Node(metadata=ObjectMeta(name=NODE))) is None


@pytest.mark.parametrize("condition", ["Denied", "Failed"])
async def test_after_a_refusal_there_is_another_request_with_another_key(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter, condition: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(manager_module, "_RETRY_FIRST", 0.01)
    signer.condition = condition
    template, key = client_template(NODE), key_to_pem(store.pending_key())
    manager = CertificateManager(store, client, lambda: template, failures)
    await until(manager, lambda: len(signer.requests) >= 2)
    assert failures.get() >= 1
    assert key_to_pem(store.pending_key()) != key
    signer.condition = ""
    await until(manager, manager.obtained.is_set)


async def test_a_certificate_for_something_else_is_not_used(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "_RETRY_FIRST", 0.01)
    signer.lives = timedelta(seconds=-1)
    template = client_template(NODE)
    manager = CertificateManager(store, client, lambda: template, failures)
    await until(manager, lambda: failures.get() >= 2)
    assert store.load() is None
    assert not manager.obtained.is_set()


async def test_a_certificate_that_was_stored_at_the_last_moment_is_not_requested_again_with_its_key(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter
) -> None:
    template = client_template(NODE)
    key = store.pending_key()
    manager = CertificateManager(store, client, lambda: template, failures)
    await until(manager, manager.obtained.is_set)
    (store.current.parent / "kubelet-client.key.tmp").write_bytes(key_to_pem(key))  # as if it had ended before
    before = store.load()
    restarted = CertificateManager(store, client, lambda: template, failures)
    restarted.renew_now()
    await until(restarted, lambda: store.load() != before)
    after = store.load()
    assert after is not None
    assert after.certificate.public_key() != key.public_key()


async def test_a_kubelet_whose_certificate_has_expired_joins_again(
    client: Client, signer: Signer, store: CertificateStore, failures: Counter, tmp_path: Path
) -> None:
    template, bootstrap = client_template(NODE), tmp_path / "bootstrap"
    cluster = {"server": client.config.server}
    document = {
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": "abcdef.0123456789abcdef"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    bootstrap.write_text(yaml.safe_dump(document))
    signer.lives = timedelta(seconds=2)
    first = CertificateManager(store, client, lambda: template, failures)
    await until(first, first.obtained.is_set)
    await eventually(lambda: (first.until or datetime.now(UTC)) < datetime.now(UTC))
    signer.lives = timedelta(hours=1)
    manager = CertificateManager(store, client, lambda: template, failures, bootstrap_kubeconfig=bootstrap)
    await until(manager, manager.obtained.is_set)
    assert signer.tokens == [b"Bearer abcdef.0123456789abcdef"]
