"""kube-proxy as a process of its own, with a real apiserver."""

import asyncio
import contextlib
import json
import re
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from apimachinery.types import core_v1, discovery_v1, meta_v1
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.kube_proxy.lab import CLUSTER_IP, Backend, Lab, endpoints, iptables_save, service
from tests.integration.kube_proxy.test_proxy_load import failures, under_load
from tests.processes import Process
from tests.support import eventually


class ProxyProcess(Process):
    """One kube-proxy."""

    def __init__(self, kubeconfig: Path, log: Path, *flags: str) -> None:
        command = (sys.executable, "-m", "kube_proxy", f"--kubeconfig={kubeconfig}", "--hostname-override=node-1")
        super().__init__(log, *command, *flags)

    def memory(self) -> int:
        """Resident bytes of the daemon and its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        pages = [int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in (self.pid, *children)]
        return sum(pages) * resource.getpagesize()


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
    process.spawn()
    try:
        await eventually(lambda: answer(lab))
        yield process
    except BaseException:
        print(process.log.read_text())
        raise
    finally:
        process.kill()


async def answer(lab: Lab) -> bytes:
    """What the service answers a pod, or nothing while it does not."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(2):
            return await lab.pod.ask(CLUSTER_IP, 1234)
    return b""


async def test_changes_of_the_api_are_live(
    lab: Lab, client: Client, kube_proxy: ProxyProcess, backends: list[Backend]
) -> None:
    api = client.resource(core_v1.Endpoints)
    current = await api.get("web", namespace="default")
    current.subsets = endpoints(backends[1].endpoint).subsets
    await api.update(current)

    async def moved() -> bool:
        return await answer(lab) == b"b"

    await eventually(moved)


async def test_a_killed_proxy_is_back_on_the_same_port(lab: Lab, kube_proxy: ProxyProcess) -> None:
    rules = redirects()
    kube_proxy.kill()
    assert await answer(lab) == b""
    kube_proxy.spawn()
    await eventually(lambda: answer(lab), timeout=20)
    assert redirects() == rules


async def test_a_proxy_killed_under_load_serves_every_new_connection_once_it_serves_again(
    lab: Lab, kube_proxy: ProxyProcess
) -> None:
    async with under_load(lab) as results:
        kube_proxy.kill()
        await eventually(lambda: not all(answered for _, answered in results))
        kube_proxy.spawn()
        await eventually(lambda: answer(lab), timeout=20)
        since = time.monotonic() + 0.2  # a result that comes until then may be of a connection begun earlier
        await eventually(lambda: sum(when > since for when, _ in results) > 100)
    assert failures(results, since) == 0


async def test_a_stopped_proxy_leaves_its_rules_and_ends_in_seconds(lab: Lab, kube_proxy: ProxyProcess) -> None:
    rules = redirects()
    started = time.monotonic()
    assert kube_proxy.stop() == 0
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
    kube_proxy.kill()
    apiserver.kill()
    kube_proxy.spawn()
    async with httpx.AsyncClient() as http:

        async def unhealthy() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await http.get("http://127.0.0.1:10256/healthz")).status_code == 503
            return False

        await eventually(unhealthy)
    assert redirects() == rules
    await apiserver.start()
    await eventually(lambda: answer(lab), timeout=20)


async def test_it_shows_its_current_table_and_what_each_backend_did(
    lab: Lab, kube_proxy: ProxyProcess, backends: list[Backend]
) -> None:
    address, port = backends[0].endpoint
    async with httpx.AsyncClient() as http:

        async def table_and_metrics_agree() -> bool:
            await answer(lab)
            table = (await http.get("http://127.0.0.1:10249/table", params={"service": "default/web"})).json()
            assert table["mode"] == "userspace"
            (row,) = table["services"]
            assert (row["name"], row["addresses"], row["port"]) == ("default/web", [CLUSTER_IP], 1234)
            assert str(row["proxyPort"]) == redirects()["default/web"]
            (endpoint,) = row["endpoints"]
            assert endpoint["address"] == f"{address}:{port}"
            assert endpoint["connections"] >= 1
            assert endpoint["bytesToClient"] >= 1
            metrics = (await http.get("http://127.0.0.1:10249/metrics")).text
            labels = f'backend="{address}:{port}",protocol="TCP",service="default/web"'
            assert f"kubeproxy_backend_connections_total{{{labels}}}" in metrics
            assert f"kubeproxy_backend_connect_duration_seconds_count{{{labels}}}" in metrics
            return True

        await eventually(table_and_metrics_agree)
        everything = (await http.get("http://127.0.0.1:10249/table")).json()
        assert {row["name"] for row in everything["services"]} == {"default/web", "default/kubernetes:https"}


async def test_iptables_mode_is_a_flag(
    lab: Lab, apiserver: ApiserverProcess, client: Client, backends: list[Backend], tmp_path: Path
) -> None:
    await client.resource(core_v1.Service).create(service())
    await client.resource(core_v1.Endpoints).create(endpoints(backends[0].endpoint))
    flags = ("--proxy-mode=iptables", "--iptables-backend=legacy", "--cluster-cidr=10.244.0.0/16")
    process = ProxyProcess(apiserver.kubeconfig, tmp_path / "kube-proxy.log", *flags)
    process.spawn()
    try:
        await eventually(lambda: answer(lab))
        async with httpx.AsyncClient() as http:
            assert (await http.get("http://127.0.0.1:10249/proxyMode")).text == "iptables"
            table = (await http.get("http://127.0.0.1:10249/table")).json()
        assert {row["name"] for row in table["services"]} >= {"default/web"}
        assert "REDIRECT" not in iptables_save()
    finally:
        assert process.stop() == 0, process.log.read_text()
    assert await answer(lab) == b"a", "the kernel goes on without us"


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


async def test_slices_come_before_endpoints_and_tell_of_endpoints_on_their_way_out(
    lab: Lab, client: Client, kube_proxy: ProxyProcess, backends: list[Backend]
) -> None:
    def slice_of(backend: Backend, **conditions: bool) -> discovery_v1.EndpointSlice:
        address, number = backend.endpoint
        return discovery_v1.EndpointSlice(
            metadata=meta_v1.ObjectMeta(
                name=f"web-{backend.name}", namespace="default", labels={"kubernetes.io/service-name": "web"}
            ),
            address_type="IPv4",
            endpoints=[
                discovery_v1.Endpoint(addresses=[address], conditions=discovery_v1.EndpointConditions(**conditions))
            ],
            ports=[discovery_v1.EndpointPort(name="", port=number, protocol="TCP")],
        )

    async def served_by(*names: bytes) -> None:
        async def same() -> bool:
            return {await answer(lab) for _ in range(20)} == {*names}

        await eventually(same)

    api = client.resource(discovery_v1.EndpointSlice)
    await served_by(b"a")  # as its Endpoints say
    await api.create(slice_of(backends[1], ready=True))
    await served_by(b"b")
    last = await api.create(slice_of(backends[2], ready=True))
    await served_by(b"b", b"c")
    last.endpoints = slice_of(backends[2], ready=False, serving=True, terminating=True).endpoints
    await api.update(last)
    await served_by(b"b")
    await api.delete("web-b", namespace="default")
    await served_by(b"c")
    await api.delete("web-c", namespace="default")
    await served_by(b"a")


async def test_a_thousand_services_take_less_than_150_megabytes(
    lab: Lab, client: Client, kube_proxy: ProxyProcess
) -> None:
    """Of the daemon and its workers together; a change is live within a second, and so it is after a restart."""
    names = iter(range(1000))

    async def create() -> None:
        for n in names:
            network = f"100.65.{n // 50}.{n % 50 * 5}"
            ready = endpoints(*((f"{network[: network.rindex('.')]}.{n % 50 * 5 + i + 1}", 80) for i in range(5)))
            ready.metadata.name = f"s{n}"
            await client.resource(core_v1.Service).create(service(f"s{n}", f"10.0.{4 + n // 250}.{n % 250}"))
            await client.resource(core_v1.Endpoints).create(ready)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(create())
    await eventually(lambda: len(redirects()) > 1000, timeout=60)
    used = kube_proxy.memory()
    print(f"{used / 1e6:.0f} MB")
    assert used < 150_000_000
    kube_proxy.kill()
    started = time.monotonic()
    kube_proxy.spawn()
    await eventually(lambda: answer(lab))
    print(f"back after {time.monotonic() - started:.1f} s")
    assert time.monotonic() - started < 10
