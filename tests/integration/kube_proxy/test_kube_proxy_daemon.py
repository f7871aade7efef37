"""kube-proxy as a process of its own, with a real apiserver."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.kube_proxy.lab import CLUSTER_IP, Backend, Lab, endpoints, iptables_save, service
from tests.support import eventually


class ProxyProcess:
    """Starts, kills and stops one kube-proxy."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._arguments = [f"--kubeconfig={kubeconfig}", "--hostname-override=node-1"]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kube_proxy", *self._arguments], stdout=log, stderr=log
            )

    def end(self, number: int = signal.SIGKILL) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=15)


@pytest.fixture
async def client(lab: Lab, apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    async with apiserver.client() as client:
        yield client


@pytest.fixture
async def kube_proxy(
    lab: Lab, apiserver: ApiserverProcess, client: Client, backends: list[Backend], tmp_path: Path
) -> AsyncIterator[ProxyProcess]:
    """Serves ``default/web`` at CLUSTER_IP:1234 with backend a."""
    await client.resource(core_v1.Service).create(service())
    await client.resource(core_v1.Endpoints).create(endpoints(backends[0].endpoint))
    process = ProxyProcess(apiserver.kubeconfig, tmp_path / "kube-proxy.log")
    process.start()
    try:
        await eventually(lambda: answer(lab))
        yield process
    except BaseException:
        print(process.log.read_text())
        raise
    finally:
        process.end()


async def answer(lab: Lab) -> bytes:
    """What the service answers a pod, or nothing while it does not."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            return await lab.pod.ask(CLUSTER_IP, 1234)
    return b""


async def test_changes_of_the_api_are_live_within_a_second(
    lab: Lab, client: Client, kube_proxy: ProxyProcess, backends: list[Backend]
) -> None:
    api = client.resource(core_v1.Endpoints)
    current = await api.get("web", namespace="default")
    current.subsets = endpoints(backends[1].endpoint).subsets
    started = time.monotonic()
    await api.update(current)

    async def moved() -> bool:
        return await answer(lab) == b"b"

    await eventually(moved)
    assert time.monotonic() - started < 1


async def test_a_killed_proxy_is_back_within_two_seconds_on_the_same_port(lab: Lab, kube_proxy: ProxyProcess) -> None:
    rules = redirects()
    kube_proxy.end()
    assert await answer(lab) == b""
    started = time.monotonic()
    kube_proxy.start()
    await eventually(lambda: answer(lab))
    assert time.monotonic() - started < 2
    assert redirects() == rules


async def test_a_stopped_proxy_leaves_its_rules_and_ends_in_seconds(lab: Lab, kube_proxy: ProxyProcess) -> None:
    rules = redirects()
    started = time.monotonic()
    assert kube_proxy.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 3
    assert redirects() == rules
    assert "Traceback" not in kube_proxy.log.read_text()


async def test_services_go_on_without_the_apiserver(
    lab: Lab, apiserver: ApiserverProcess, client: Client, kube_proxy: ProxyProcess
) -> None:
    apiserver.kill()
    for _ in range(20):
        assert await answer(lab) == b"a"
    await apiserver.start()
    await client.resource(core_v1.Service).create(service("other", "10.0.0.77"))
    await eventually(lambda: "default/other" in redirects(), timeout=15)


async def test_a_new_proxy_keeps_its_hands_off_while_it_knows_nothing(
    lab: Lab, apiserver: ApiserverProcess, kube_proxy: ProxyProcess
) -> None:
    """Started without an apiserver it leaves the rules of the last run, and is not healthy."""
    rules = redirects()
    kube_proxy.end()
    apiserver.kill()
    kube_proxy.start()
    async with httpx.AsyncClient() as http:

        async def unhealthy() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await http.get("http://127.0.0.1:10256/healthz")).status_code == 503
            return False

        await eventually(unhealthy)
    assert redirects() == rules
    await apiserver.start()
    await eventually(lambda: answer(lab), timeout=20)


async def test_it_tells_about_itself(lab: Lab, kube_proxy: ProxyProcess) -> None:
    async with httpx.AsyncClient() as http:
        health = await http.get("http://127.0.0.1:10256/healthz")
        assert health.status_code == 200
        assert set(json.loads(health.content)) == {"lastUpdated", "currentTime"}
        assert (await http.get("http://127.0.0.1:10249/proxyMode")).text == "userspace"

        async def counted() -> bool:
            metrics = (await http.get("http://127.0.0.1:10249/metrics")).text
            return bool(
                re.search(r'kubeproxy_connections_total\{result="accepted"\} [1-9]', metrics)
                and "kubeproxy_sync_proxy_rules_duration_seconds_count" in metrics
                and re.search(r"kubeproxy_service_ports 2\.0", metrics)
            )

        await eventually(counted)


def redirects() -> dict[str, str]:
    """Service port name -> proxy port, as the kernel's rules have it."""
    return dict(
        re.findall(r'-A KUBE-PORTALS-CONTAINER .*--comment "?([^" ]+)"? -j REDIRECT --to-ports (\d+)', iptables_save())
    )
