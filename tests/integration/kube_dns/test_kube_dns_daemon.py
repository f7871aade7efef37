"""The daemon as a process: what the API says shows in answers, and the daemon keeps its own address there."""

import asyncio
import re
import signal
import time
from pathlib import Path
from typing import TypeVar

import pytest

from apimachinery import codec, errors
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from kube_client import Client
from kube_dns.registration import LABELS
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess
from tests.integration.kube_dns.conftest import ADVERTISED, SERVICE_IP
from tests.integration.kube_dns.dns_process import DnsProcess
from tests.support import eventually

SOON = 1.0
"""Seconds in which a change must show."""

WEB = "web.default.svc.cluster.local"


def metadata(name: str) -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(name=name, namespace="default")


async def make_service(client: Client, name: str = "web", **spec: object) -> core_v1.Service:
    if spec.get("type") != "ExternalName":
        spec["ports"] = [core_v1.ServicePort(name="http", port=80, protocol="TCP")]
    made = core_v1.Service(metadata=metadata(name), spec=core_v1.ServiceSpec(**spec))  # type: ignore[arg-type]
    return await client.resource(core_v1.Service).create(made)


def endpoint_slice(*ready: str, unready: tuple[str, ...] = (), name: str = "web", of: str = "web") -> EndpointSlice:
    def endpoint(ip: str, conditions: EndpointConditions) -> Endpoint:
        return Endpoint(addresses=[ip], hostname=f"web-{ip.rpartition('.')[2]}", conditions=conditions)

    is_unready = EndpointConditions(ready=False)
    return EndpointSlice(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", labels={"kubernetes.io/service-name": of}),
        address_type="IPv4",
        endpoints=[
            *(endpoint(ip, EndpointConditions(ready=True)) for ip in ready),
            *(endpoint(ip, is_unready) for ip in unready),
        ],
        ports=[EndpointPort(name="http", port=8080, protocol="TCP")],
    )


async def test_a_service_has_its_names_as_long_as_it_is_there(client: Client, kube_dns: DnsProcess) -> None:
    dns = kube_dns.dns
    assert await dns.rcode(WEB) == "NXDOMAIN"

    service = await make_service(client)
    ip = service.spec.cluster_ip or ""
    await eventually(lambda: dns.addresses(WEB), timeout=SOON)

    for name in (WEB, "web.default", "web.default.svc"):
        for tcp in (False, True):
            assert await dns.addresses(name, tcp=tcp) == [ip]
        answer = await dns.ask(name, "AAAA")
        assert (answer.header.rcode, answer.rr, len(answer.auth)) == (0, [], 1)
    for name in (f"_http._tcp.{WEB}", WEB):
        assert await dns.addresses(name, "SRV") == [f"0 100 80 {WEB}."]
    reverse = ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
    assert await dns.addresses(reverse, "PTR") == [f"{WEB}."]

    await client.resource(core_v1.Service).delete("web", namespace="default")
    await eventually(lambda: _has_rcode(kube_dns, WEB, "NXDOMAIN"), timeout=SOON)
    assert await dns.rcode("web.default") == "REFUSED"


async def test_pods_have_names_as_long_as_their_namespace_is_there(client: Client, kube_dns: DnsProcess) -> None:
    dns, namespaces = kube_dns.dns, client.resource(core_v1.Namespace)
    assert await eventually(lambda: dns.addresses("10-1-2-3.default.pod.cluster.local")) == ["10.1.2.3"]
    assert await dns.rcode("10-1-2-3.dns-late.pod.cluster.local") == "NXDOMAIN"

    await namespaces.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="dns-late")))

    await eventually(lambda: dns.addresses("10-1-2-3.dns-late.pod.cluster.local"), timeout=SOON)
    assert await dns.rcode("dns-late.svc.cluster.local") == "NOERROR"


async def test_the_apiserver_itself_is_found(kube_dns: DnsProcess) -> None:
    addresses = await eventually(lambda: kube_dns.dns.addresses("kubernetes.default.svc.cluster.local"))

    assert addresses == ["10.0.0.1"]


async def test_a_headless_service_follows_its_slices(client: Client, kube_dns: DnsProcess) -> None:
    dns, resource = kube_dns.dns, client.resource(EndpointSlice)
    await make_service(client, cluster_ip="None")
    assert await dns.rcode(WEB) == "NXDOMAIN"

    made = await resource.create(endpoint_slice("10.1.0.1", unready=("10.1.0.2",)))
    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1"]), timeout=SOON)
    assert await dns.addresses(f"web-1.{WEB}") == ["10.1.0.1"]
    assert await dns.addresses(f"_http._tcp.{WEB}", "SRV") == [f"0 100 8080 web-1.{WEB}."]
    assert await dns.addresses("1.0.1.10.in-addr.arpa", "PTR") == [f"web-1.{WEB}."]

    changed = codec.copy(made)
    changed.endpoints = endpoint_slice("10.1.0.1", "10.1.0.2").endpoints
    await resource.update(changed)
    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1", "10.1.0.2"]), timeout=SOON)

    await resource.create(endpoint_slice("10.1.0.2", "10.1.0.3", name="web-more"))
    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1", "10.1.0.2", "10.1.0.3"]), timeout=SOON)

    await resource.delete("web", namespace="default")
    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.2", "10.1.0.3"]), timeout=SOON)
    await resource.delete("web-more", namespace="default")
    await eventually(lambda: _has_rcode(kube_dns, WEB, "NXDOMAIN"), timeout=SOON)


async def test_a_slice_that_is_given_to_another_service_leaves_the_first(client: Client, kube_dns: DnsProcess) -> None:
    resource = client.resource(EndpointSlice)
    for name in ("web", "other"):
        await make_service(client, name, cluster_ip="None")
    made = await resource.create(endpoint_slice("10.1.0.1"))
    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1"]), timeout=SOON)

    changed = codec.copy(made)
    changed.metadata.labels = {"kubernetes.io/service-name": "other"}
    await resource.update(changed)

    await eventually(lambda: _has(kube_dns, "other.default", ["10.1.0.1"]), timeout=SOON)
    assert await kube_dns.dns.rcode(WEB) == "NXDOMAIN"


async def test_unready_addresses_are_published_where_the_service_asks(client: Client, kube_dns: DnsProcess) -> None:
    await client.resource(EndpointSlice).create(endpoint_slice("10.1.0.1", unready=("10.1.0.2",)))
    await make_service(client, cluster_ip="None", publish_not_ready_addresses=True)

    await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1", "10.1.0.2"]), timeout=SOON)


async def test_endpoints_written_by_hand_come_through_their_mirror(
    client: Client, apiserver: ApiserverProcess, kube_dns: DnsProcess, tmp_path: Path
) -> None:
    await make_service(client, cluster_ip="None")
    address = core_v1.EndpointAddress(ip="10.1.0.1", hostname="db-0")
    subset = core_v1.EndpointSubset(addresses=[address], ports=[core_v1.EndpointPort(name="http", port=8080)])
    await client.resource(core_v1.Endpoints).create(core_v1.Endpoints(metadata=metadata("web"), subsets=[subset]))
    manager = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig)
    try:
        await manager.start()
        await eventually(lambda: _has(kube_dns, WEB, ["10.1.0.1"]))
        assert await kube_dns.dns.addresses(f"_http._tcp.{WEB}", "SRV") == [f"0 100 8080 db-0.{WEB}."]
    finally:
        manager.stop()


async def test_an_external_name_is_an_alias(client: Client, kube_dns: DnsProcess) -> None:
    await make_service(client, "inside")
    await make_service(client, type="ExternalName", external_name="inside.default.svc.cluster.local")

    await eventually(lambda: kube_dns.dns.addresses(WEB), timeout=SOON)
    assert await kube_dns.dns.addresses(WEB, "CNAME") == ["inside.default.svc.cluster.local."]


async def test_the_dns_service_is_registered_and_finds_itself(client: Client, kube_dns: DnsProcess) -> None:
    service = await eventually(lambda: _get(client, core_v1.Service))
    endpoints = await eventually(lambda: _get(client, core_v1.Endpoints))

    ports = [("dns", "UDP", 53), ("dns-tcp", "TCP", 53)]
    assert service.spec.cluster_ip == SERVICE_IP
    assert [(port.name, port.protocol, port.port) for port in service.spec.ports or ()] == ports
    assert LABELS.items() <= (service.metadata.labels or {}).items()
    (subset,) = endpoints.subsets or ()
    assert [address.ip for address in subset.addresses or ()] == [ADVERTISED]
    assert {(port.name, port.protocol, port.port) for port in subset.ports or ()} == {
        (name, protocol, kube_dns.port) for name, protocol, _ in ports
    }
    name = "kube-dns.kube-system.svc.cluster.local"
    await eventually(lambda: _has(kube_dns, name, [SERVICE_IP]), timeout=SOON)


async def test_the_registration_is_mended_whatever_happens_to_it(client: Client, kube_dns: DnsProcess) -> None:
    services, resource = client.resource(core_v1.Service), client.resource(core_v1.Endpoints)
    await eventually(lambda: _get(client, core_v1.Endpoints))

    await services.delete("kube-dns", namespace="kube-system")
    await eventually(lambda: _get(client, core_v1.Service))
    await resource.delete("kube-dns", namespace="kube-system")
    changed = codec.copy(await eventually(lambda: _get(client, core_v1.Endpoints)))
    changed.subsets = None
    await resource.update(changed)

    async def mended() -> bool:
        endpoints = await _get(client, core_v1.Endpoints)
        return bool(endpoints and endpoints.subsets)

    await eventually(mended)


async def test_a_service_of_others_in_its_place_is_left_alone(
    client: Client, apiserver: ApiserverProcess, tmp_path: Path
) -> None:
    others = core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="kube-dns", namespace="kube-system"),
        spec=core_v1.ServiceSpec(selector={"k8s-app": "coredns"}, ports=[core_v1.ServicePort(port=53)]),
    )
    made = await client.resource(core_v1.Service).create(others)
    process = DnsProcess(
        tmp_path, apiserver.kubeconfig, f"--register-service={SERVICE_IP}", f"--advertise-address={ADVERTISED}"
    )
    try:
        await process.start()
        await eventually(lambda: "left alone" in process.log.read_text(), timeout=30)
    finally:
        process.stop()

    after = await _get(client, core_v1.Service)
    assert after is not None
    assert after.spec == made.spec
    assert await _get(client, core_v1.Endpoints) is None


async def test_a_registration_with_another_address_is_made_anew(client: Client, kube_dns: DnsProcess) -> None:
    services = client.resource(core_v1.Service)
    first = await eventually(lambda: _get(client, core_v1.Service))
    kube_dns.stop()
    await services.delete("kube-dns", namespace="kube-system")
    moved = core_v1.Service(metadata=meta_v1.ObjectMeta(name="kube-dns", namespace="kube-system"), spec=first.spec)
    moved.spec.cluster_ip, moved.spec.cluster_ips = "10.0.0.11", None
    await services.create(moved)

    await kube_dns.start()

    async def is_back() -> bool:
        service = await _get(client, core_v1.Service)
        return service is not None and service.spec.cluster_ip == SERVICE_IP

    await eventually(is_back)


async def test_answers_go_on_without_the_apiserver(
    client: Client, apiserver: ApiserverProcess, kube_dns: DnsProcess
) -> None:
    await make_service(client)
    await eventually(lambda: kube_dns.dns.addresses(WEB), timeout=SOON)

    apiserver.kill()
    for _ in range(3):
        assert await kube_dns.dns.addresses(WEB)
    await apiserver.start()

    await make_service(client, "later")
    await eventually(lambda: kube_dns.dns.addresses("later.default"))


async def test_before_it_has_reached_the_apiserver_it_denies_nothing(
    client: Client, apiserver: ApiserverProcess, kube_dns: DnsProcess
) -> None:
    service = await make_service(client)
    apiserver.kill()
    kube_dns.stop()
    kube_dns.spawn()

    await eventually(lambda: kube_dns.answers("/health"), timeout=20)
    assert await kube_dns.dns.rcode(WEB) == "SERVFAIL"
    assert await kube_dns.get("/ready") == (503, "services")
    assert not await kube_dns.answers("/readyz")
    await apiserver.start()

    await eventually(lambda: kube_dns.answers("/ready"))
    assert await kube_dns.dns.addresses(WEB) == [service.spec.cluster_ip]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_ends_at_once_and_is_back_at_once(client: Client, kube_dns: DnsProcess, number: int) -> None:
    await make_service(client)
    await eventually(lambda: kube_dns.dns.addresses(WEB), timeout=SOON)
    _, held = await asyncio.open_connection(*kube_dns.dns.address)

    started = time.monotonic()
    status = await asyncio.to_thread(kube_dns.stop, number)
    assert time.monotonic() - started < 2
    assert status == (0 if number == signal.SIGTERM else -number)
    await kube_dns.start()

    assert await kube_dns.dns.addresses(WEB)
    assert "Traceback" not in kube_dns.log.read_text()
    held.close()


async def test_metrics_tell_what_was_asked_and_answered(client: Client, kube_dns: DnsProcess) -> None:
    await make_service(client)
    await eventually(lambda: kube_dns.dns.addresses(WEB), timeout=SOON)
    for _ in range(5):
        await kube_dns.dns.ask(WEB)
    await kube_dns.dns.ask(WEB, tcp=True)

    text = await kube_dns.metrics()

    def value(name: str) -> float:
        match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    assert value('coredns_dns_requests_total{proto="udp",type="A"}') >= 6
    assert value('coredns_dns_requests_total{proto="tcp",type="A"}') == 1
    assert value('coredns_dns_responses_total{rcode="NOERROR"}') >= 7
    assert value('coredns_cache_hits_total{type="zone"}') >= 4
    assert value("kube_dns_zone_names") > 5


async def _has(kube_dns: DnsProcess, name: str, expected: list[str]) -> bool:
    return await kube_dns.dns.addresses(name) == expected


async def _has_rcode(kube_dns: DnsProcess, name: str, expected: str) -> bool:
    return await kube_dns.dns.rcode(name) == expected


T = TypeVar("T", core_v1.Service, core_v1.Endpoints)


async def _get(client: Client, type: type[T]) -> T | None:
    try:
        return await client.resource(type).get("kube-dns", namespace="kube-system")
    except errors.NotFound:
        return None
