"""Two nodes with pods, and a host outside, as network namespaces: each node runs a proxy of its own.

    outside --- wire --- node-1 --- own (the only endpoint), near
                    \\--- node-2 --- far

Nodes route to each other's pods, as kubelets have it; the way of the host outside to everything is node-1.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery import codec
from apimachinery.types import core_v1
from tests.integration.kube_proxy.lab import entered, ip

NODE_1, NODE_2, OUTSIDE = "100.64.251.1", "100.64.251.2", "100.64.251.9"
GATEWAY = "10.244.1.1"
"""Of node-1's pods: how they see their node."""
OWN, NEAR, FAR = "10.244.1.2", "10.244.1.3", "10.244.2.2"
SERVER_PORT = 8080


@dataclass
class Place:
    """A network namespace."""

    name: str

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    def socket(self, protocol: str) -> socket.socket:
        with entered(self.path):
            return socket.socket(type=socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)

    def ask(self, address: str, port: int, protocol: str, timeout: float = 2.0) -> str:
        """What the server says. Raises what the socket raises; TimeoutError when nothing comes."""
        with self.socket(protocol) as sock:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.send(b"who?")
            return sock.recv(100).decode()


@dataclass
class NodeProxy:
    process: subprocess.Popen[str]

    def serve(self, services: Sequence[core_v1.Service], endpoints: Sequence[core_v1.Endpoints]) -> None:
        """Have the proxy serve these; returns once they are in effect."""
        objects = {
            "services": [codec.to_builtins(service) for service in services],
            "endpoints": [codec.to_builtins(obj) for obj in endpoints],
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(objects) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"


@dataclass
class Cluster:
    mode: str
    places: dict[str, Place]
    proxies: list[NodeProxy] = field(default_factory=list)

    def serve(self, services: Sequence[core_v1.Service], endpoints: Sequence[core_v1.Endpoints]) -> None:
        for proxy in self.proxies:
            proxy.serve(services, endpoints)


@contextlib.contextmanager
def running_cluster(mode: str) -> Iterator[Cluster]:
    names = ("wire", "node-1", "node-2", "outside", "own", "near", "far")
    places = {name: Place(f"peapod-two-{os.getpid()}-{name}") for name in names}
    with contextlib.ExitStack() as stack:
        for place in places.values():
            ip("netns", "add", place.name)
            stack.callback(subprocess.run, ["ip", "netns", "delete", place.name], check=False)
            ip("-n", place.name, "link", "set", "lo", "up")
        _connect(places)
        for name in ("own", "far"):
            stack.enter_context(_server(places[name], name))
        cluster = Cluster(mode, places)
        for node in ("node-1", "node-2"):
            cluster.proxies.append(NodeProxy(stack.enter_context(_process(places[node], node, mode))))
        yield cluster


def _connect(places: dict[str, Place]) -> None:
    _bridge(places["wire"], "wire")
    for node, address in (("node-1", NODE_1), ("node-2", NODE_2), ("outside", OUTSIDE)):
        _plug(places["wire"], "wire", places[node], address)
    for node, number, other, pods in (
        ("node-1", 1, NODE_2, {"own": OWN, "near": NEAR}),
        ("node-2", 2, NODE_1, {"far": FAR}),
    ):
        place = places[node]
        _bridge(place, "pods")
        ip("-n", place.name, "addr", "add", f"10.244.{number}.1/24", "dev", "pods")
        ip("-n", place.name, "route", "add", f"10.244.{3 - number}.0/24", "via", other)
        ip("-n", place.name, "route", "add", "default", "via", OUTSIDE)
        with entered(place.path):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            # The table asks more often in a second than the kernel says "unreachable" to one address.
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
        for pod, address in pods.items():
            _plug(place, "pods", places[pod], address)
            ip("-n", places[pod].name, "route", "add", "default", "via", f"10.244.{number}.1")
    ip("-n", places["outside"].name, "route", "add", "default", "via", NODE_1)


def _bridge(place: Place, name: str) -> None:
    ip("-n", place.name, "link", "add", name, "type", "bridge")
    ip("-n", place.name, "link", "set", name, "up")


def _plug(hub: Place, bridge: str, place: Place, address: str) -> None:
    end = f"to-{place.name.rpartition('-two-')[2].partition('-')[2]}"
    ip("-n", hub.name, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", place.name)
    ip("-n", hub.name, "link", "set", end, "master", bridge, "up")
    ip("-n", place.name, "addr", "add", f"{address}/24", "dev", "eth0")
    ip("-n", place.name, "link", "set", "eth0", "up")


@contextlib.contextmanager
def _server(place: Place, name: str) -> Iterator[None]:
    """Answers, by TCP and UDP, with its name and the address that it saw its client have."""
    with place.socket("TCP") as stream, place.socket("UDP") as datagrams:
        for sock in (stream, datagrams):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", SERVER_PORT))
        stream.listen(128)

        def answer_connections() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, (client, _) = stream.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(100)
                        connection.send(f"{name} {client}".encode())

        def answer_datagrams() -> None:
            while True:
                data, client = datagrams.recvfrom(100)
                if data == b"end":
                    return
                datagrams.sendto(f"{name} {client[0]}".encode(), client)

        threads = [threading.Thread(target=answer) for answer in (answer_connections, answer_datagrams)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stream.shutdown(socket.SHUT_RDWR)
            with place.socket("UDP") as sock:
                sock.sendto(b"end", ("127.0.0.1", SERVER_PORT))
            for thread in threads:
                thread.join(5)


@contextlib.contextmanager
def _process(place: Place, node: str, mode: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.kube_proxy.node_process", str(place.path), node, mode],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()
