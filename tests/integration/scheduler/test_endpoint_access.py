"""What a daemon serves besides health: over TLS, to those whom the apiserver lets."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import KeyPair
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

MONITORING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@pytest.fixture
async def apiserver(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    apiserver = ApiserverProcess(tmp_path, etcd.url, "--authorization-mode=RBAC")
    await apiserver.start()
    yield apiserver
    apiserver.stop()


class Scheduler(DaemonProcess):
    """One that serves other machines as well, so with TLS."""

    def __init__(self, directory: Path, kubeconfig: Path, *arguments: str) -> None:
        super().__init__(directory, "scheduler", kubeconfig, *arguments)
        self._url = f"https://127.0.0.1:{self.port}"

    async def ready(self) -> None:
        await eventually(self._is_healthy, timeout=30)

    async def _is_healthy(self) -> bool:
        try:
            return await self.status("/healthz") == 200
        except httpx.HTTPError:
            return False

    async def status(self, path: str, token: str = "", pair: KeyPair | None = None) -> int:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        if pair is not None:
            tls.load_cert_chain(pair.cert, pair.key)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=self._url, verify=tls, trust_env=False) as client:
            return (await client.get(path, headers=headers)).status_code


async def test_metrics_take_an_identity_with_the_right_and_health_takes_none(
    tmp_path: Path, apiserver: ApiserverProcess
) -> None:
    scheduler = Scheduler(
        tmp_path, apiserver.kubeconfig, "--bind-address=0.0.0.0", f"--client-ca-file={apiserver.authority.cert}"
    )
    try:
        await scheduler.start()
        assert await scheduler.status("/readyz") == 200
        assert await scheduler.status("/livez/ping") == 200
        assert await scheduler.status("/metrics") == 401
        assert await scheduler.status("/metrics", token="nobody's") == 401
        assert await scheduler.status("/metrics", token="ann") == 403
        assert await scheduler.status("/healthzmetrics") == 401
        assert await scheduler.status("/metrics", token=TOKEN) == 200
        assert await scheduler.status("/metrics", pair=apiserver.admin) == 200
        async with apiserver.http() as http:
            subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:monitoring"}
            await http.post(MONITORING, json={"metadata": {"name": "ann"}, "subjects": subjects, "roleRef": role})

        async def allowed() -> bool:
            return await scheduler.status("/metrics", token="ann") == 200

        await eventually(allowed, timeout=30)  # what was refused is remembered for a while

        apiserver.stop()
        assert await scheduler.status("/metrics", token="bob") == 401, "nobody is let in without an answer"
        assert await scheduler.status("/healthz") == 200
    finally:
        assert scheduler.stop() == 0


async def test_without_a_certificate_loopback_is_served_plain(tmp_path: Path, apiserver: ApiserverProcess) -> None:
    scheduler = DaemonProcess(tmp_path, "scheduler", apiserver.kubeconfig)
    try:
        await scheduler.start()
        assert "scheduler" in await scheduler.metrics()
    finally:
        scheduler.stop()
