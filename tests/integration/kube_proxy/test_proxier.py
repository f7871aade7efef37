"""The proxier on a real node's kernel: real rules, real sockets, clients on the node and in a pod."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Network

import pytest

from apimachinery.types import core_v1
from host_network.devices import SERVICE_BRIDGE
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    NODE_ADDRESS,
    POD_ADDRESS,
    POD_GATEWAY,
    Backend,
    Lab,
    Namespace,
    Proxy,
    endpoints,
    ip,
    iptables,
    iptables_save,
    running_proxy,
    service,
)
from tests.support import eventually


async def refusal(client: Namespace, address: str, port: int) -> float:
    """Seconds until a connection is refused; fails if it is not, or not by a refusal."""
    started = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        (await client.connect(address, port)).close()
    return time.monotonic() - started


async def test_a_service_answers_on_its_cluster_ip_from_node_and_pod(lab: Lab, proxy: Proxy) -> None:
    """Requests spread over all backends, in each of the two places where clients are."""
    for client in (lab.node, lab.pod):
        answers = {await client.ask(CLUSTER_IP, 1234) for _ in range(60)}
        assert answers == {b"a", b"b", b"c"}


async def test_a_pod_reaches_itself_through_its_own_service(lab: Lab, proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    with lab.pod.listener(POD_ADDRESS) as server:
        proxy.endpoints.put(endpoints(server.getsockname()))
        await proxy.settled()
        question = asyncio.create_task(lab.pod.ask(CLUSTER_IP, 1234))
        connection, (client, _) = await asyncio.wait_for(loop.sock_accept(server), 2)
        with connection:
            assert await loop.sock_recv(connection, 100) == b"who?\n"
            await loop.sock_sendall(connection, b"myself")
    assert await question == b"myself"
    assert client == POD_GATEWAY, "backends see the node, as userspace mode has it"


async def test_requests_are_spread_evenly(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    for _ in range(300):
        await lab.pod.ask(CLUSTER_IP, 1234)
    assert all(60 < len(backend.requests) < 140 for backend in backends)


async def test_a_port_or_address_without_a_service_is_refused_at_once(lab: Lab, proxy: Proxy) -> None:
    for client in (lab.node, lab.pod):
        for address, port in ((CLUSTER_IP, 4321), ("10.0.77.7", 1234)):
            assert await refusal(client, address, port) < 0.2
        with client.datagram_socket() as sock:
            sock.connect(("10.0.77.7", 53))
            if client is lab.node:  # learns it from send itself: its packet does not pass OUTPUT
                with pytest.raises(PermissionError):
                    sock.send(b"anyone?")
            else:
                sock.send(b"anyone?")
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 10), 1)


async def test_a_service_without_endpoints_refuses_at_once_until_it_has_some(
    lab: Lab, proxy: Proxy, backends: list[Backend]
) -> None:
    for _ in range(3):
        proxy.endpoints.put(endpoints())
        await proxy.settled()
        for client in (lab.node, lab.pod):
            assert await refusal(client, CLUSTER_IP, 1234) < 0.2
        proxy.endpoints.put(endpoints(backends[1].endpoint))
        await proxy.settled()
        for client in (lab.node, lab.pod):
            assert await client.ask(CLUSTER_IP, 1234) == b"b"


async def test_changed_endpoints_are_live_within_a_second(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    rules = iptables_save()
    started = time.monotonic()
    proxy.endpoints.put(endpoints(backends[1].endpoint))
    await proxy.settled()
    assert time.monotonic() - started < 1
    assert {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)} == {b"b"}
    assert [line for line in rules.splitlines() if "REDIRECT" in line] == [
        line for line in iptables_save().splitlines() if "REDIRECT" in line
    ]


async def test_ports_are_matched_by_name(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    ports = [core_v1.ServicePort(name="one", port=81), core_v1.ServicePort(name="two", port=82)]
    proxy.services.put(service("pair", "10.0.0.12", ports=ports))
    pair = endpoints(backends[0].endpoint, name="pair", port="one")
    assert pair.subsets is not None
    pair.subsets += endpoints(backends[1].endpoint, name="pair", port="two").subsets or []
    proxy.endpoints.put(pair)
    await proxy.settled()
    assert await lab.pod.ask("10.0.0.12", 81) == b"a"
    assert await lab.pod.ask("10.0.0.12", 82) == b"b"


async def test_external_and_public_addresses_answer(lab: Lab, proxy: Proxy) -> None:
    """The article's publicIPs, under both of their names, externalIPs, and a load balancer's addresses."""
    ingress = [core_v1.LoadBalancerIngress(ip="192.0.2.4")]
    changed = service(
        external_ips=["192.0.2.1"], public_ips=["192.0.2.2"], deprecated_public_ips=["192.0.2.3"], type="LoadBalancer"
    )
    changed.status.load_balancer.ingress = ingress
    proxy.services.put(changed)
    await proxy.settled()
    ip("route", "add", "192.0.2.0/24", "dev", "lo")
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"):
        assert await lab.pod.ask(address, 1234) in (b"a", b"b", b"c")
        assert await lab.node.ask(address, 1234) in (b"a", b"b", b"c")


async def test_what_others_listen_on_is_no_service_s(lab: Lab, backends: list[Backend]) -> None:
    """A port of the node that a process has, and the apiserver's, whatever a service's externalIPs are."""
    kubelet, apiserver = Backend("kubelet", "0.0.0.0"), Backend("apiserver", NODE_ADDRESS)
    async with kubelet, apiserver:
        port, place = kubelet.endpoint[1], ("192.0.2.9", 6443)
        taking = [core_v1.ServicePort(name=str(number), port=number) for number in (port, place[1], 1234)]
        thief = service(external_ips=[NODE_ADDRESS, place[0], CLUSTER_IP.replace("11", "10")], ports=taking)
        objects = [endpoints(backends[0].endpoint, port="1234"), endpoints(place, name="kubernetes")]
        async with running_proxy([thief], objects, sync_period=0.1) as proxy:
            await eventually(lambda: proxy.proxier.syncs > 3)
            assert await lab.pod.ask(NODE_ADDRESS, port) == b"kubelet"
            assert await lab.pod.ask(NODE_ADDRESS, 1234) == b"a"
            rules = iptables_save()
            assert "-d 192.0.2.9/32 -p tcp" in rules, "its other ports are anybody's"
            assert not [line for line in rules.splitlines() if "-d 192.0.2.9/32" in line and "--dport 6443" in line]
            assert "-d 10.0.0.10/32" not in rules
            refusals = [reason for reason in proxy.events.reasons if reason == ("web", "ExternalAddressRefused")]
            assert len(refusals) == 5, "each is told once: of three ports at the cluster IP, the node's and the API's"
            proxy.endpoints.delete("kubernetes")
            await eventually(lambda: "--dport 6443" in iptables_save())


async def test_a_node_port_answers_on_every_address_of_the_node(lab: Lab, proxy: Proxy) -> None:
    proxy.services.put(service(type="NodePort", ports=[core_v1.ServicePort(port=1234, node_port=30080)]))
    await proxy.settled()
    for client, address in (
        (lab.node, "127.0.0.1"), (lab.node, NODE_ADDRESS), (lab.pod, POD_GATEWAY), (lab.pod, NODE_ADDRESS)
    ):  # fmt: skip
        assert await client.ask(address, 30080) in (b"a", b"b", b"c")
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("0.0.0.0", 30080))


async def test_node_ports_can_be_limited_to_addresses(lab: Lab, backends: list[Backend]) -> None:
    node_port_service = service(type="NodePort", ports=[core_v1.ServicePort(port=1234, node_port=30080)])
    only = (IPv4Network(f"{NODE_ADDRESS}/32"),)
    async with running_proxy([node_port_service], [endpoints(backends[0].endpoint)], node_port_addresses=only):
        assert await lab.pod.ask(NODE_ADDRESS, 30080) == b"a"
        await refusal(lab.pod, POD_GATEWAY, 30080)


async def test_a_taken_node_port_is_reported_once_and_tried_again(lab: Lab, backends: list[Backend]) -> None:
    node_port_service = service(type="NodePort", ports=[core_v1.ServicePort(port=1234, node_port=30080)])
    taken = socket.create_server(("0.0.0.0", 30080))
    async with running_proxy([node_port_service], [endpoints(backends[0].endpoint)], sync_period=0.1) as proxy:
        await eventually(lambda: proxy.proxier.syncs > 2)
        assert proxy.events.reasons == [("web", "NodePortTaken")]
        assert "--dport 30080" not in iptables_save()
        assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
        taken.close()
        await eventually(lambda: "--dport 30080" in iptables_save())
        assert await lab.pod.ask(NODE_ADDRESS, 30080) == b"a"


async def test_a_freed_node_port_goes_to_the_next_service(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    port = [core_v1.ServicePort(port=1234, node_port=30080)]
    proxy.services.put(service(type="NodePort", ports=port))
    await proxy.settled()
    proxy.services.delete("web")
    proxy.services.put(service("next", "10.0.0.12", type="NodePort", ports=port))
    proxy.endpoints.put(endpoints(backends[2].endpoint, name="next"))
    await proxy.settled()
    assert await lab.pod.ask(NODE_ADDRESS, 30080) == b"c"
    assert proxy.events.reasons == []


async def test_a_deleted_service_leaves_nothing(lab: Lab, proxy: Proxy) -> None:
    proxy_port = redirect_ports()["default/web"]
    proxy.services.delete("web")
    await proxy.settled()
    assert redirect_ports() == {}
    await refusal(lab.pod, CLUSTER_IP, 1234)
    # The workers hear of it at the end of the sync, so they close their copies of the socket a moment later.
    await eventually(lambda: is_free(proxy_port))


async def test_a_changed_cluster_ip_moves_the_service(lab: Lab, proxy: Proxy) -> None:
    before = redirect_ports()
    proxy.services.put(service(cluster_ip="10.0.0.99"))
    await proxy.settled()
    assert await lab.pod.ask("10.0.0.99", 1234) in (b"a", b"b", b"c")
    await refusal(lab.pod, CLUSTER_IP, 1234)
    assert redirect_ports() == before


async def test_a_restarted_proxy_takes_up_the_same_ports_and_changes_no_rule(lab: Lab, backends: list[Backend]) -> None:
    ready = [endpoints(backends[0].endpoint)]
    async with running_proxy([service(), service("gone", "10.0.0.12")], ready):
        first = redirect_ports()
    assert redirect_ports() == first, "a stopped proxy leaves its rules"
    async with running_proxy([service()], ready):
        assert redirect_ports() == {"default/web": first["default/web"]}, "what no service owns goes"
        assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
        assert is_free(first["default/gone"])


async def test_connections_wait_for_a_proxy_that_is_starting(lab: Lab, backends: list[Backend]) -> None:
    """Between its start and its knowledge of services a proxy keeps clients waiting instead of refusing them."""
    async with running_proxy([service()], [endpoints(backends[0].endpoint)]):
        pass
    async with running_proxy([service()], [endpoints(backends[0].endpoint)], synced=False) as proxy:
        await eventually(lambda: not is_free(redirect_ports()["default/web"]))
        answer = asyncio.create_task(lab.pod.ask(CLUSTER_IP, 1234))
        proxy.services.synced.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), 0.2)
        proxy.endpoints.synced.set()
        assert await answer == b"a"


async def test_rules_removed_by_others_come_back(lab: Lab, backends: list[Backend]) -> None:
    async with running_proxy([service()], [endpoints(backends[0].endpoint)], sync_period=0.2):
        for table in ("nat", "filter"):
            iptables("-t", table, "-F")
        ip("link", "delete", SERVICE_BRIDGE)

        async def answers() -> bool:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.2):
                    return await lab.pod.ask(CLUSTER_IP, 1234) == b"a" and await refusal(lab.pod, CLUSTER_IP, 9) < 1
            return False

        await eventually(answers)


async def test_rules_of_others_stay_and_cleanup_removes_only_ours(lab: Lab, proxy: Proxy) -> None:
    iptables("-t", "nat", "-N", "THEIRS")
    iptables("-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "9999", "-j", "THEIRS")
    iptables("-A", "FORWARD", "-d", "10.0.0.0/16", "-j", "ACCEPT")
    theirs = [line for line in iptables_save().splitlines() if line.startswith("-A") and "KUBE" not in line]
    proxy.services.put(service("other", "10.0.0.12"))
    await proxy.settled()
    clean_up()
    left = iptables_save()
    assert [line for line in left.splitlines() if line.startswith("-A")] == theirs
    assert "KUBE" not in left
    assert SERVICE_BRIDGE not in ip("-o", "link")


async def test_a_rule_of_someone_else_in_our_chain_goes(lab: Lab, proxy: Proxy) -> None:
    iptables("-t", "nat", "-I", "KUBE-PORTALS-CONTAINER", "-p", "icmp", "-j", "RETURN")
    proxy.services.put(service("other", "10.0.0.12"))
    await proxy.settled()
    assert "RETURN" not in iptables_save()
    assert await lab.pod.ask(CLUSTER_IP, 1234) in (b"a", b"b", b"c")


async def test_a_thousand_services_are_served_within_ten_seconds_and_a_change_in_one(
    lab: Lab, backends: list[Backend]
) -> None:
    def addresses(number: int) -> list[tuple[str, int]]:
        return [(f"127.1.{number // 250}.{number % 250}", 8000 + n) for n in range(5)]

    services = [service(f"s{n}", f"10.0.{4 + n // 250}.{n % 250}") for n in range(1000)]
    ready = [endpoints(*addresses(n), name=f"s{n}") for n in range(1000)]
    started = time.monotonic()
    async with running_proxy(services, ready) as proxy:
        assert time.monotonic() - started < 10
        started = time.monotonic()
        proxy.services.put(service("new", "10.0.0.50"))
        proxy.endpoints.put(endpoints(backends[0].endpoint, name="new"))
        await proxy.settled()
        assert await lab.pod.ask("10.0.0.50", 1234) == b"a"
        assert time.monotonic() - started < 1


def clean_up() -> None:
    subprocess.run([sys.executable, "-m", "kube_proxy", "--cleanup"], check=True)


def redirect_ports() -> dict[str, int]:
    """Service port name -> proxy port, as the kernel's rules for pods have it."""
    words = [line.split() for line in iptables_save().splitlines() if line.startswith("-A KUBE-PORTALS-CONTAINER")]
    return {line[line.index("--comment") + 1].strip('"'): int(line[-1]) for line in words}


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
