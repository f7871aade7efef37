"""A node and a pod as network namespaces, a proxier in the node's, and what it is given to do.

The test's thread enters the node's namespace for the time of the test. Threads and processes started meanwhile
inherit it, and a socket stays in the namespace in which it was made.
"""

import asyncio
import contextlib
import ctypes
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Generic, TypeVar

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.objects import KubeObject
from component_base.values import PortRange
from kube_proxy.dataplane.messages import Counters
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import RuleTables
from kube_proxy.iptables.backends import open_tables
from kube_proxy.iptables.chains import IPTABLES_CHAINS, USERSPACE_CHAINS
from kube_proxy.iptables_mode import IptablesMode
from kube_proxy.mode import Mode, Settings
from kube_proxy.ports import Ports
from kube_proxy.proxier import Proxier
from kube_proxy.sources import FromEndpoints
from kube_proxy.statistics import Statistics
from kube_proxy.userspace_mode import UserspaceMode
from tests.support import eventually

T = TypeVar("T", bound=KubeObject)

SERVICE_RANGE = IPv4Network("10.0.0.0/16")
NODE_ADDRESS = "100.64.250.1"
BACKENDS = "100.64.250.1"
"""With one more digit the address of a backend; all of the network is the node's own, as on any loopback."""
POD_GATEWAY, POD_ADDRESS = "10.244.250.1", "10.244.250.2"
CLUSTER_CIDR = IPv4Network("10.244.0.0/16")
CLUSTER_IP = "10.0.0.11"
NODE_NAME = "node-1"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def iptables_save(backend: str = "legacy") -> str:
    return subprocess.run([f"iptables-{backend}-save"], check=True, capture_output=True, text=True).stdout


def iptables(*arguments: str, backend: str = "legacy") -> None:
    subprocess.run([f"iptables-{backend}", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def entered(path: Path) -> Iterator[None]:
    """This thread in another network namespace."""
    with open("/proc/thread-self/ns/net") as here, path.open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(here.fileno())


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Namespace:
    path: Path

    async def connect(self, address: str, port: int, timeout: float = 5.0) -> socket.socket:
        """A TCP connection from this namespace. Raises what connect raises."""
        with entered(self.path):
            sock = socket.socket()
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def ask(self, address: str, port: int, request: bytes = b"who?\n") -> bytes:
        """Send, finish sending, and return all that comes back. Raises ConnectionResetError after a reset."""
        loop = asyncio.get_running_loop()
        with await self.connect(address, port) as sock:
            # A reset shows at whichever call comes next, each with an error of its own; reading tells it plainly.
            with contextlib.suppress(OSError):
                await loop.sock_sendall(sock, request)
                sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(5):
                answer = await read_all(sock)
            if not answer:  # an earlier call has used up the reset; no server here ends without a word
                raise ConnectionResetError(f"reset by {address}:{port}")
            return answer

    def listener(self, address: str) -> socket.socket:
        """A listening socket of this namespace, on a free port."""
        with entered(self.path):
            sock = socket.create_server((address, 0))
        sock.setblocking(False)
        return sock

    def datagram_socket(self) -> socket.socket:
        with entered(self.path):
            sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.setblocking(False)
        return sock


async def read_all(sock: socket.socket) -> bytes:
    loop, parts = asyncio.get_running_loop(), []
    while data := await loop.sock_recv(sock, 1 << 18):
        parts.append(data)
    return b"".join(parts)


@dataclass
class Lab:
    node: Namespace
    pod: Namespace


class Objects(Generic[T]):
    """A set of objects that tells of its changes as an informer does."""

    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._handlers: list[Callable[[T | None, T | None], object]] = []
        self.synced = asyncio.Event()

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def list(self) -> Iterable[T]:
        return [*self._objects.values()]

    def on_change(self, handler: Callable[[T | None, T | None], object]) -> None:
        self._handlers.append(handler)

    def put(self, obj: T) -> None:
        key = meta.key_of(obj)
        old, self._objects[key] = self._objects.get(key), obj
        for handler in self._handlers:
            handler(old, obj)

    def delete(self, name: str) -> None:
        old = self._objects.pop(Key("default", name))
        for handler in self._handlers:
            handler(old, None)


@dataclass
class Events:
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def event(self, obj: KubeObject, type: str, reason: str, message: str) -> None:
        self.reasons.append((meta.name_of(obj), reason))


def service(name: str = "web", cluster_ip: str = CLUSTER_IP, **spec: object) -> core_v1.Service:
    spec.setdefault("ports", [core_v1.ServicePort(port=1234, protocol="TCP")])
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        spec=core_v1.ServiceSpec(cluster_ip=cluster_ip, **spec),  # type: ignore[arg-type]
    )


def endpoints(
    *addresses: tuple[str, int],
    name: str = "web",
    port: str | None = None,
    protocol: str = "TCP",
    node: str | None = None,
) -> core_v1.Endpoints:
    """An Endpoints object with a subset for each address."""
    return core_v1.Endpoints(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"),
        subsets=[
            core_v1.EndpointSubset(
                addresses=[core_v1.EndpointAddress(ip=address, node_name=node)],
                ports=[core_v1.EndpointPort(name=port, port=number, protocol=protocol)],
            )
            for address, number in addresses
        ],
    )


class Backend:
    """A server of the node that answers with its own name when the client has finished."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.requests: list[bytes] = []

    async def __aenter__(self) -> "Backend":
        self._server = await asyncio.start_server(self._serve, self.address, 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    @property
    def endpoint(self) -> tuple[str, int]:
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            self.requests.append(await reader.read())
            writer.write(self.name.encode())
            await writer.drain()
        writer.close()


@dataclass
class Proxy:
    """A proxier with its parts, running."""

    services: Objects[core_v1.Service]
    endpoints: Objects[core_v1.Endpoints]
    events: Events
    tables: RuleTables
    pool: WorkerPool
    proxier: Proxier
    counters: Counters
    statistics: Statistics

    async def settled(self) -> None:
        """Wait until what was put in so far is in effect."""
        before = self.proxier.syncs
        await eventually(lambda: self.proxier.syncs > before and not self.proxier.is_behind)
        await self.pool.settled()


@contextlib.asynccontextmanager
async def running_proxy(
    services: Iterable[core_v1.Service] = (),
    endpoints: Iterable[core_v1.Endpoints] = (),
    *,
    workers: int = 2,
    sync_period: float = 60.0,
    node_port_addresses: tuple[IPv4Network, ...] = (),
    synced: bool = True,
    backend: str = "legacy",
    mode: str = "userspace",
    node: str = NODE_NAME,
) -> AsyncIterator[Proxy]:
    """A proxier in this namespace until the block ends; its rules stay, as a killed one's would."""
    counters = Counters()

    def count(some: Counters) -> None:
        for name in some.__struct_fields__:
            setattr(counters, name, getattr(counters, name) + getattr(some, name))

    statistics = Statistics()
    pool = WorkerPool(workers, on_counters=count, on_stats=statistics.report, on_restart=statistics.worker_gone)
    if mode == "iptables":
        workers = 0
    async with open_tables(IPTABLES_CHAINS if mode == "iptables" else USERSPACE_CHAINS, backend) as tables:
        service_objects, endpoints_objects, events = Objects[core_v1.Service](), Objects[core_v1.Endpoints](), Events()
        for obj in services:
            service_objects.put(obj)
        for subsets in endpoints:
            endpoints_objects.put(subsets)
        ports = Ports("0.0.0.0", PortRange(20000, 29999))
        settings = Settings(SERVICE_RANGE, node_port_addresses, sync_period, CLUSTER_CIDR)
        source = FromEndpoints(endpoints_objects, node)
        how: Mode = UserspaceMode(tables, pool, ports, statistics)
        if mode == "iptables":
            how = IptablesMode(tables)
        proxier = Proxier(service_objects, source, how, ports, events, settings)
        statistics.on_failing = proxier.report_failing
        tasks = [asyncio.create_task(pool.run()), asyncio.create_task(proxier.run())]
        proxy = Proxy(service_objects, endpoints_objects, events, tables, pool, proxier, counters, statistics)
        try:
            if synced:
                service_objects.synced.set()
                endpoints_objects.synced.set()
                await eventually(lambda: proxier.syncs, timeout=60)
                await pool.settled()
            yield proxy
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        assert not failures, failures
