"""Cluster IPs and node ports: never twice, none lost, whatever is killed."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx

from apiserver.registry.core.allocators import IPS, NODE_PORTS
from apiserver.storage import Etcd, Meta
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

PATH = "/api/v1/namespaces/default/services"
MERGE = {"Content-Type": "application/merge-patch+json"}
FEW = ("--service-cluster-ip-range=10.0.0.0/26", "--service-node-port-range=30000-30039")


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}], **spec}}


async def claims(etcd: EtcdServer) -> set[str]:
    client = Etcd(etcd.config)
    try:
        meta = Meta(client)
        return {*(await meta.list(IPS)), *(await meta.list(NODE_PORTS))}
    finally:
        await client.close()


def held(services: list[dict[str, Any]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for service in services:
        counts[IPS + service["spec"]["clusterIP"]] += 1
        counts.update(NODE_PORTS + str(port["nodePort"]) for port in service["spec"]["ports"] if "nodePort" in port)
    return counts


async def test_fifty_writers_at_once_and_a_killed_apiserver(etcd: EtcdServer, tmp_path: Any) -> None:
    """50 clients create and delete in a range with room for few, the apiserver is killed in between."""
    server = ApiserverProcess(tmp_path, etcd.url, *FEW)
    await server.start()
    made = 0

    async def churn(worker: int) -> None:
        nonlocal made
        chance = random.Random(worker)
        async with server.http() as client:
            for n in range(8):
                name = f"s{worker}"
                try:
                    reply = await client.post(PATH, json=service(name))
                    made += reply.status_code == 201
                    if n < 7 and chance.random() < 0.8:
                        await client.delete(f"{PATH}/{name}")
                except httpx.HTTPError:  # the server is down; what is left to do must outlast that
                    await asyncio.sleep(0.5)

    try:
        writers = [asyncio.create_task(churn(worker)) for worker in range(50)]
        for target in (30, 60):
            await eventually(lambda target=target: made >= target, timeout=30)
            await server.restart()
        await asyncio.gather(*writers)
        async with server.http() as client:
            services = (await client.get("/api/v1/services")).json()["items"]
            counted = held(services)
            assert {key: n for key, n in counted.items() if n > 1} == {}
            assert set(counted) == await claims(etcd)
            for stored in services:
                if stored["metadata"]["name"] != "kubernetes":
                    await client.delete(f"{PATH}/{stored['metadata']['name']}")
        assert await claims(etcd) == {IPS + "10.0.0.1"}
    finally:
        server.kill()


async def test_an_address_is_free_again_when_its_service_is_gone(apiserver: ApiserverProcess) -> None:
    async with apiserver.http() as client:
        wanted = service("a", clusterIP="10.0.0.77", ports=[{"port": 80, "nodePort": 30500}])
        assert (await client.post(PATH, json=wanted)).status_code == 201
        taken = await client.post(PATH, json=service("b", clusterIP="10.0.0.77"))
        assert taken.status_code == 422
        assert taken.json()["details"]["causes"][0]["field"] == "spec.clusterIPs"
        port_taken = await client.post(PATH, json=service("b", ports=[{"port": 80, "nodePort": 30500}]))
        assert port_taken.status_code == 422
        assert port_taken.json()["details"]["causes"][0]["field"] == "spec.ports[0].nodePort"
        assert (await client.delete(f"{PATH}/a")).status_code == 200
        again = service("b", clusterIP="10.0.0.77", ports=[{"port": 80, "nodePort": 30500}])
        assert (await client.post(PATH, json=again)).status_code == 201


async def test_a_change_of_type_gives_back_what_is_no_longer_needed(
    etcd: EtcdServer, apiserver: ApiserverProcess
) -> None:
    async with apiserver.http() as client:
        created = (await client.post(PATH, json=service("a"))).json()
        port = created["spec"]["ports"][0]["nodePort"]
        assert NODE_PORTS + str(port) in await claims(etcd)
        created["spec"]["type"] = "ClusterIP"
        del created["spec"]["ports"][0]["nodePort"]
        changed = await client.put(f"{PATH}/a", json=created)
        assert changed.status_code == 200, changed.text
        assert changed.json()["spec"]["clusterIP"] == created["spec"]["clusterIP"]
        assert NODE_PORTS + str(port) not in await claims(etcd)


async def test_a_port_for_health_checks_comes_and_goes_with_the_local_policy(
    etcd: EtcdServer, apiserver: ApiserverProcess
) -> None:
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    async with apiserver.http() as client:
        made = (await client.post(PATH, json=service("a", **local))).json()
        port = made["spec"]["healthCheckNodePort"]
        assert 30000 <= port <= 32767
        assert port != made["spec"]["ports"][0]["nodePort"]
        assert NODE_PORTS + str(port) in await claims(etcd)
        taken = await client.post(PATH, json=service("b", healthCheckNodePort=port, **local))
        assert (taken.status_code, taken.json()["details"]["causes"][0]["field"]) == (422, "spec.healthCheckNodePort")
        useless = await client.post(PATH, json=service("b", healthCheckNodePort=30999))
        assert (useless.status_code, "may only be set when" in useless.text) == (422, True)
        moved = await client.patch(f"{PATH}/a", json={"spec": {"healthCheckNodePort": 30999}}, headers=MERGE)
        assert (moved.status_code, "field is immutable" in moved.text) == (422, True)
        kept = await client.patch(f"{PATH}/a", json={"spec": {"healthCheckNodePort": None}}, headers=MERGE)
        assert kept.json()["spec"]["healthCheckNodePort"] == port
        cluster = {"spec": {"externalTrafficPolicy": "Cluster"}}
        changed = await client.patch(f"{PATH}/a", json=cluster, headers=MERGE)
        assert changed.status_code == 200, changed.text
        assert "healthCheckNodePort" not in changed.json()["spec"]
        assert NODE_PORTS + str(port) not in await claims(etcd)
        inner = await client.patch(f"{PATH}/a", json={"spec": {"type": "ClusterIP"}}, headers=MERGE)
        assert inner.status_code == 200, inner.text
        assert {"externalTrafficPolicy", "allocateLoadBalancerNodePorts"}.isdisjoint(inner.json()["spec"])


async def test_a_full_range_is_said_to_be_full(etcd: EtcdServer, tmp_path: Any) -> None:
    server = ApiserverProcess(tmp_path, etcd.url, "--service-cluster-ip-range=10.0.0.0/29")
    await server.start()
    try:
        async with server.http() as client:
            replies = [await client.post(PATH, json=service(f"s{n}", type="ClusterIP")) for n in range(7)]
        codes = [reply.status_code for reply in replies]
        assert codes == [201] * 5 + [500] * 2
        assert "is full" in replies[-1].json()["message"]
    finally:
        server.kill()
