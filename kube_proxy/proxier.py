"""The level-triggered heart: compares what Services and Endpoints want with what this node offers, and closes the gap.

Owns the order of things: nothing is changed before both are known; a port listens before a rule leads to it, and
its rule is gone before it stops listening. Events only name a service; ``sync`` looks at everything of it again. Many
events make one sync, which touches only what differs.
"""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol, TypeVar

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from apimachinery.types.objects import KubeObject
from kube_proxy import metrics, service_range
from kube_proxy.dataplane.messages import Backend
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import RuleSet, Tables, TablesError
from kube_proxy.iptables.rules import Portal, RuleSetBuilder, redirects
from kube_proxy.ports import Ports, PortsExhausted, PortTaken
from kube_proxy.service_range import RouteError
from kube_proxy.services import ServicePort, backends, service_ports

log = logging.getLogger(__name__)

T_co = TypeVar("T_co", bound=KubeObject, covariant=True)

MIN_SYNC_PERIOD = 0.02
"""Seconds in which events gather before a sync."""
RETRY_DELAYS = (0.1, 0.5, 1.0, 5.0)


class Source(Protocol[T_co]):
    """What the proxier needs of an informer."""

    synced: asyncio.Event

    def get(self, key: Key) -> T_co | None: ...
    def list(self) -> Iterable[T_co]: ...
    def on_change(self, handler: Callable[[T_co | None, T_co | None], object]) -> None: ...


class Recorder(Protocol):
    def event(self, obj: KubeObject, type: str, reason: str, message: str) -> None: ...


@dataclass(frozen=True)
class Settings:
    service_range: IPv4Network
    node_port_addresses: tuple[IPv4Network, ...] = ()
    sync_period: float = 5.0
    """Seconds between two looks at whether the node's rules are still as they should be."""


@dataclass
class Serving:
    """A service port that is offered now."""

    spec: ServicePort
    number: int
    """The data plane's number of it."""
    proxy_port: int
    node_port: socket.socket | None = None
    backends: tuple[Backend, ...] = ()

    @property
    def portal(self) -> Portal:
        node_port = self.spec.node_port if self.node_port else None
        spec = self.spec
        return Portal(spec.name, spec.protocol, spec.addresses, spec.port, node_port, self.proxy_port)


class Proxier:
    def __init__(
        self,
        services: Source[core_v1.Service],
        endpoints: Source[core_v1.Endpoints],
        tables: Tables,
        pool: WorkerPool,
        ports: Ports,
        recorder: Recorder,
        settings: Settings,
    ) -> None:
        self._services, self._endpoints = services, endpoints
        self._tables, self._pool, self._ports = tables, pool, ports
        self._recorder = recorder
        self._settings = settings
        self._serving: dict[Key, dict[tuple[str, str], Serving]] = {}
        self._leaving: list[Serving] = []
        """No longer wanted; they stop once their rules are gone."""
        self._dirty: set[Key] = set()
        self._wake = asyncio.Event()
        self._rules_dirty = True
        self._clashes: set[tuple[str, str]] = set()
        self._waiting_since: float | None = None
        self.last_synced: float | None = None
        """Unix time of the last sync that succeeded."""
        self.syncs = 0
        """How many have."""
        services.on_change(self._on_service)
        endpoints.on_change(self._on_endpoints)

    def is_healthy(self) -> bool:
        """Whether rules are up to date, or have not been behind for long."""
        if self.last_synced is None:
            return False
        return self._waiting_since is None or time.time() - self._waiting_since < 2 * self._settings.sync_period + 5

    @property
    def is_behind(self) -> bool:
        """Whether something has changed that is not in effect yet."""
        return self._waiting_since is not None

    async def run(self) -> None:
        """Serve until cancelled; what the kernel knows then, stays."""
        try:
            await self._adopt()
            await self._services.synced.wait()
            await self._endpoints.synced.wait()
            await self._loop()
        finally:
            self._ports.release_unclaimed()
            for serving in self._all():
                if serving.node_port:
                    serving.node_port.close()

    async def _adopt(self) -> None:
        try:
            self._ports.adopt(redirects(await self._tables.found()))
        except TablesError as exc:
            log.info("%s; starting without the proxy ports of the last run", exc)

    async def _loop(self) -> None:
        self._dirty.update(meta.key_of(service) for service in self._services.list())
        failures = 0
        while True:
            await asyncio.sleep(MIN_SYNC_PERIOD)
            try:
                await self.sync()
                failures = 0
                timeout = self._settings.sync_period * random.uniform(0.8, 1.2)
            except (TablesError, RouteError, PortsExhausted) as exc:
                log.warning("sync: %s; will retry", exc)
                metrics.rule_failures.inc()
                timeout = RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)]
                failures += 1
                self._rules_dirty = True
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                self._look_again()

    async def sync(self) -> None:
        """Offer what is wanted now. Safe to call at any time, any number of times.

        Raises:
            TablesError, RouteError, PortsExhausted: something could not be done yet.
        """
        started = time.perf_counter()
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            self._retire(key)  # all of them first: what one gives up, another may be waiting for
        failure = None
        for key in dirty:
            try:
                self._offer(key)
            except PortsExhausted as exc:
                failure = exc
                self._dirty.add(key)
        if self._rules_dirty:
            await self._sync_rules()
        if failure:
            raise failure
        if not self._dirty:
            self._waiting_since = None
        self.last_synced = time.time()
        self.syncs += 1
        metrics.last_sync.set(self.last_synced)
        metrics.service_ports.set(sum(map(len, self._serving.values())))
        metrics.sync_duration.observe(time.perf_counter() - started)

    async def _sync_rules(self) -> None:
        self._rules_dirty = False
        leaving, self._leaving = self._leaving, []
        try:
            await service_range.ensure(self._settings.service_range)
            steps = await self._tables.apply(self._rules())
        except BaseException:
            self._leaving += leaving
            raise
        if steps:
            log.info("iptables: %d steps; %d service ports served", steps, sum(map(len, self._serving.values())))
            metrics.rule_steps.inc(by=steps)
        for serving in leaving:
            self._pool.stop(serving.number)
        self._ports.release_unclaimed()

    def _rules(self) -> RuleSet:
        builder = RuleSetBuilder(self._settings.node_port_addresses)
        builder.refuse(self._settings.service_range)
        for serving in self._all():
            builder.add_portal(serving.portal)
        return builder.rules

    def _wanted(self, key: Key) -> dict[tuple[str, str], ServicePort]:
        service = self._services.get(key)
        return {port.id: port for port in service_ports(service)} if service else {}

    def _retire(self, key: Key) -> None:
        """Give up the ports that a service no longer has, and node ports that it has no more."""
        serving, wanted = self._serving.get(key, {}), self._wanted(key)
        for id in [id for id in serving if id not in wanted]:
            self._leave(serving.pop(id))
        for id, port in serving.items():
            if port.node_port and port.spec.node_port != wanted[id].node_port:
                port.node_port.close()
                port.node_port = None
        if not serving:
            self._serving.pop(key, None)

    def _offer(self, key: Key) -> None:
        """Open a service's new ports, bring the others up to date; note whether rules have to follow."""
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        if service is None:
            return
        ready = backends(endpoints) if endpoints else {}
        for id, spec in self._wanted(key).items():
            serving = self._serving.get(key, {}).get(id)
            if serving is None:
                serving = self._open(spec, ready.get(id, ()))
                self._serving.setdefault(key, {})[id] = serving
            elif serving.backends != ready.get(id, ()):
                serving.backends = ready.get(id, ())
                self._pool.set_backends(serving.number, serving.backends)
            self._update(serving, spec, service)

    def _open(self, spec: ServicePort, ready: tuple[Backend, ...]) -> Serving:
        sock = self._ports.open_proxy_port(spec.name, spec.protocol)
        port = sock.getsockname()[1]
        number = self._pool.serve(spec.name, spec.protocol, sock, spec.affinity_seconds)
        self._pool.set_backends(number, ready)
        log.info("%s: %s %s on proxy port %d", spec.name, spec.protocol, ",".join(spec.addresses), port)
        self._rules_dirty = True
        return Serving(spec, number, port, backends=ready)

    def _update(self, serving: Serving, spec: ServicePort, service: core_v1.Service) -> None:
        before, serving.spec = serving.spec, spec
        if before.affinity_seconds != spec.affinity_seconds:
            self._pool.set_affinity(serving.number, spec.affinity_seconds)
        if spec.node_port and not serving.node_port:
            serving.node_port = self._hold_node_port(spec, service)
            self._rules_dirty |= serving.node_port is not None
        self._rules_dirty |= before != spec

    def _hold_node_port(self, spec: ServicePort, service: core_v1.Service) -> socket.socket | None:
        assert spec.node_port
        try:
            sock = self._ports.hold_node_port(spec.protocol, spec.node_port)
        except PortTaken as exc:
            if spec.id not in self._clashes:  # say it once; the periodic sync tries again
                self._clashes.add(spec.id)
                log.warning("%s: node port: %s", spec.name, exc)
                self._recorder.event(service, "Warning", "NodePortTaken", f"cannot open node port: {exc}")
            return None
        self._clashes.discard(spec.id)
        return sock

    def _leave(self, serving: Serving) -> None:
        log.info("%s: %s no longer served", serving.spec.name, serving.spec.protocol)
        self._clashes.discard(serving.spec.id)
        if serving.node_port:
            # At once: another service may be waiting for it in this very sync.
            serving.node_port.close()
        self._leaving.append(serving)
        self._rules_dirty = True

    def _all(self) -> Iterable[Serving]:
        return (serving for ports in self._serving.values() for serving in ports.values())

    def _look_again(self) -> None:
        """Verify the rules, and try again for node ports that others held."""
        self._dirty.update(key for key, ports in self._serving.items() if not self._clashes.isdisjoint(ports))
        self._rules_dirty = True

    def _on_service(self, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        metrics.service_changes.inc()
        self._enqueue(old, new)

    def _on_endpoints(self, old: core_v1.Endpoints | None, new: core_v1.Endpoints | None) -> None:
        metrics.endpoint_changes.inc()
        self._enqueue(old, new)

    def _enqueue(self, old: KubeObject | None, new: KubeObject | None) -> None:
        changed = new or old
        assert changed is not None
        self._dirty.add(meta.key_of(changed))
        if self._waiting_since is None:
            self._waiting_since = time.time()
        metrics.queued()
        self._wake.set()
