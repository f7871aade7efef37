"""One apiserver in front of one etcd for all tests that do not disturb it, and a namespace of its own for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from deploy.lab.certificates import write_service_account_keys
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def shared(shared_etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path_factory.mktemp("apiserver"), shared_etcd.url)
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    """One that lets kubelets, accounts and users do what nodes and roles allow, with an etcd of the module's own."""
    folder = tmp_path_factory.mktemp("guarded")
    write_service_account_keys(folder / "sa.key", folder / "sa.pub")
    etcd = EtcdServer(folder)
    server = ApiserverProcess(
        folder,
        etcd.url,
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
        f"--service-account-key-file={folder / 'sa.pub'}",
    )
    try:
        asyncio.run(etcd.start())
        asyncio.run(server.start())
        yield server
    finally:
        server.kill()
        etcd.kill()


@pytest.fixture
async def api(shared: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A bare HTTP client of the shared server, as the administrator."""
    async with shared.http() as client:
        yield client


@pytest.fixture
async def ns(api: httpx.AsyncClient) -> str:
    """The path of a new namespace: ``/api/v1/namespaces/<name>``."""
    name = f"test-{next(_numbers)}"
    reply = await api.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    assert reply.status_code == 201, reply.text
    return f"/api/v1/namespaces/{name}"
