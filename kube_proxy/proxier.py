"""The level-triggered heart: compares what Services and Endpoints ask for with what this node offers, and closes the gap.

Owns the order of steps: nothing is changed before both are known; a port listens before a rule leads to it, and its
rule is gone before it stops listening. How traffic gets to endpoints is the ``Mode``'s business. Events only name a
service; ``sync`` examines all of it again. Many events make one sync, which changes only what differs.
"""

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Iterable, Iterator

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from host_network.commands import CommandError
from host_network.routes import ensure_service_route
from kube_proxy import metrics
from kube_proxy.conntrack import UdpFlows
from kube_proxy.dataplane.messages import Backend
from kube_proxy.endpoints import NOBODY
from kube_proxy.external_addresses import ExternalAddresses, Reserved, resolve
from kube_proxy.healthcheck import HealthChecks, Recorder
from kube_proxy.iptables import TablesError
from kube_proxy.mode import Mode, ServedPort, Settings
from kube_proxy.ports import Ports, PortsExhausted, PortTaken
from kube_proxy.services import ServicePort, external_targets, service_ports
from kube_proxy.sources import EndpointsSource, Source
from kube_proxy.table import Row

log = logging.getLogger(__name__)

MIN_SYNC_PERIOD = 0.02
"""Seconds in which events gather before a sync."""
RETRY_DELAYS = (0.1, 0.5, 1.0, 5.0)
KUBERNETES = Key("default", "kubernetes")
"""The service whose endpoints are the apiservers."""
FLOW_SWEEP_PERIOD = 30.0
"""Seconds between two sweeps of the kernel's UDP flows when nothing changes."""


class Proxier:
    def __init__(
        self,
        services: Source[core_v1.Service],
        endpoints: EndpointsSource,
        mode: Mode,
        ports: Ports,
        recorder: Recorder,
        settings: Settings,
    ) -> None:
        self._services, self._endpoints = services, endpoints
        self._mode, self._ports = mode, ports
        self._recorder = recorder
        self._settings = settings
        self._served: dict[Key, dict[tuple[str, str], ServedPort]] = {}
        self._leaving: list[ServedPort] = []
        """No longer wanted; they stop once their rules are gone."""
        self._dirty: set[Key] = set()
        self._wake = asyncio.Event()
        self._rules_dirty = True
        self._verify = True
        """Whether to read the rules back, instead of trusting that they are as we left them."""
        self._clashes: set[tuple[str, str]] = set()
        ranges = (("cluster IPs", settings.service_range), ("pods", settings.cluster_cidr))
        self._external = ExternalAddresses(ports, Reserved(tuple((what, cidr) for what, cidr in ranges if cidr)))
        self._apiserver: set[tuple[str, int]] = set()
        """Where we reach the API ourselves."""
        self._health_checks = HealthChecks(recorder, self.is_healthy)
        self._flows = UdpFlows()
        self._flows_swept = 0.0
        self._waiting_since: float | None = None
        self.last_synced: float | None = None
        """Unix time of the last sync that succeeded."""
        self.syncs = 0
        """How many syncs have succeeded."""
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

    def rows(self) -> Iterator[Row]:
        """What is served now, one row per service port."""
        return map(self._mode.row, self._all())

    def report_failing(self, number: int, message: str) -> None:
        """Report that a port's clients have not reached any endpoint for a while."""
        for key, ports in self._served.items():
            if any(port.number == number for port in ports.values()) and (service := self._services.get(key)):
                log.warning("%s", message)
                self._recorder.event(service, "Warning", "EndpointsUnreachable", message)

    async def run(self) -> None:
        """Serve until cancelled. The rules stay."""
        try:
            await self._adopt()
            await self._services.synced.wait()
            await self._endpoints.synced.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._health_checks.run(), name="health checks")
                await self._loop()
        finally:
            self._ports.release_unclaimed()
            self._external.close()
            for port in self._all():
                if port.node_port:
                    port.node_port.close()

    async def _adopt(self) -> None:
        try:
            self._flows.expect(await self._mode.adopt())  # so that flows of services gone meanwhile are known
        except TablesError as exc:
            log.info("%s; starting without the rules of the last run", exc)

    async def _loop(self) -> None:
        self._dirty.update(meta.key_of(service) for service in self._services.list())
        failures = 0
        next_verification = self._next_verification()
        await self._find_apiserver()
        while True:
            await asyncio.sleep(MIN_SYNC_PERIOD)
            if time.monotonic() >= next_verification:  # however many events keep us busy
                await self._find_apiserver()
                self._verify_again()
                next_verification = self._next_verification()
            try:
                await self.sync()
                failures = 0
                timeout = max(0.0, next_verification - time.monotonic())
            except (TablesError, CommandError, PortsExhausted) as exc:
                log.warning("sync: %s; will retry", exc)
                metrics.rule_failures.inc()
                timeout = RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)]
                failures += 1
                self._rules_dirty = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()

    async def sync(self) -> None:
        """Offer what the services ask for now. Safe to call at any time, any number of times.

        Raises:
            TablesError, CommandError, PortsExhausted: something could not be done yet.
        """
        started = time.perf_counter()
        self._wake.clear()
        self._dirty |= self._external.reserve_apiserver(self._apiserver | self._apiservers())
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            self._retire(key)  # all of them first: another service may be waiting for what this one gives up
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
        metrics.service_ports.set(sum(map(len, self._served.values())))
        metrics.sync_duration.observe(time.perf_counter() - started)

    async def _sync_rules(self) -> None:
        self._rules_dirty = False
        leaving, self._leaving = self._leaving, []
        verify, self._verify = self._verify, False
        failure = await self._prepare()
        try:
            steps = await self._mode.tables.apply(self._mode.rules(self._all(), self._settings), verify=verify)
        except BaseException:
            self._leaving += leaving
            self._verify = True
            raise
        if steps:
            log.info("iptables: %d steps; %d service ports served", steps, sum(map(len, self._served.values())))
            metrics.rule_steps.inc(by=steps)
        for port in leaving:
            self._mode.close(port)
        self._mode.settled()
        await self._sync_flows()
        if failure:
            raise failure

    async def _prepare(self) -> CommandError | None:
        """Set up what the node needs besides rules; what could not be, which is no reason to leave the rules undone."""
        try:
            await asyncio.to_thread(ensure_service_route, self._settings.service_range)
            await self._mode.prepare(self._settings)
        except CommandError as exc:
            return exc
        return None

    async def _sync_flows(self) -> None:
        """Delete the kernel's UDP flows that do not follow from the rules now in place."""
        self._flows.expect(self._mode.claims(self._all()))
        now = time.monotonic()
        if self._flows.is_due or now - self._flows_swept >= FLOW_SWEEP_PERIOD:
            self._flows_swept = now
            metrics.stale_flows.inc(by=await self._flows.sweep())

    def _apiservers(self) -> set[tuple[str, int]]:
        return {backend for reachable in self._endpoints.of(KUBERNETES).values() for backend in reachable.everywhere}

    async def _find_apiserver(self) -> None:
        """Its name may lead elsewhere by now; while it cannot be resolved, the last answer stands."""
        if self._settings.apiserver:
            with contextlib.suppress(OSError, TimeoutError):
                self._apiserver = await resolve(*self._settings.apiserver)

    def _desired(self, key: Key) -> dict[tuple[str, str], ServicePort]:
        service = self._services.get(key)
        return {port.id: port for port in service_ports(service, self._external.refused(key))} if service else {}

    def _retire(self, key: Key) -> None:
        """Give up the addresses, ports and node ports that a service no longer has."""
        service = self._services.get(key)
        self._external.release(key, external_targets(service) if service else ())
        served, desired = self._served.get(key, {}), self._desired(key)
        for id in [id for id in served if id not in desired]:
            self._leave(served.pop(id))
        for id, port in served.items():
            if port.node_port and port.spec.node_port != desired[id].node_port:
                port.node_port.close()
                port.node_port = None
        if not served:
            self._served.pop(key, None)

    def _offer(self, key: Key) -> None:
        """Open a service's new ports and update the others; note whether the rules must change."""
        service = self._services.get(key)
        if service is None:
            self._health_checks.remove(key)
            return
        self._acquire_addresses(key, service)
        reachable = self._endpoints.of(key)
        self._health_checks.update(
            service, len(frozenset().union(*(endpoints.ready_here for endpoints in reachable.values())))
        )
        for id, spec in self._desired(key).items():
            endpoints = reachable.get(spec.endpoints_id, NOBODY)
            backends = endpoints.here if spec.local_only else endpoints.everywhere
            port = self._served.get(key, {}).get(id)
            if port is None:
                port = self._open(spec, backends)
                self._served.setdefault(key, {})[id] = port
            else:
                self._update(port, spec, backends)
            if spec.node_port and not port.node_port:
                port.node_port = self._hold_node_port(spec, service)
                self._rules_dirty |= port.node_port is not None

    def _acquire_addresses(self, key: Key, service: core_v1.Service) -> None:
        before = self._external.refused(key)
        for (address, protocol, port), fault in self._external.acquire(key, external_targets(service)).items():
            message = f"{address} port {port}/{protocol} is not served on this node: {fault}"
            log.warning("%s: %s", key, message)
            self._recorder.event(service, "Warning", "ExternalAddressRefused", message)
        if self._external.refused(key).keys() != before.keys():
            self._retire(key)  # what was served at an address that is refused now

    def _open(self, spec: ServicePort, backends: tuple[Backend, ...]) -> ServedPort:
        port = ServedPort(spec, backends)
        self._mode.open(port)
        log.info("%s: %s %s on port %d", spec.name, spec.protocol, ",".join(spec.addresses), spec.port)
        self._rules_dirty = True
        return port

    def _update(self, port: ServedPort, spec: ServicePort, backends: tuple[Backend, ...]) -> None:
        before, port.spec = port.spec, spec
        moved, port.backends = port.backends != backends, backends
        if before != spec or moved:
            self._mode.update(port, before)
        self._rules_dirty |= before != spec or (moved and self._mode.backends_are_rules)

    def _hold_node_port(self, spec: ServicePort, service: core_v1.Service) -> socket.socket | None:
        assert spec.node_port
        try:
            sock = self._ports.hold_node_port(spec.protocol, spec.node_port)
        except PortTaken as exc:
            if spec.id not in self._clashes:  # report it once; the periodic sync tries again
                self._clashes.add(spec.id)
                log.warning("%s: node port: %s", spec.name, exc)
                self._recorder.event(service, "Warning", "NodePortTaken", f"cannot open node port: {exc}")
            return None
        self._clashes.discard(spec.id)
        return sock

    def _leave(self, port: ServedPort) -> None:
        log.info("%s: %s no longer served", port.spec.name, port.spec.protocol)
        self._clashes.discard(port.spec.id)
        if port.node_port:
            # At once: another service may be waiting for it in this very sync.
            port.node_port.close()
        self._mode.leave(port)
        self._leaving.append(port)
        self._rules_dirty = True

    def _all(self) -> Iterable[ServedPort]:
        return (port for ports in self._served.values() for port in ports.values())

    def _next_verification(self) -> float:
        # With jitter, and never later than promised.
        return time.monotonic() + self._settings.sync_period * random.uniform(0.7, 0.95)

    def _verify_again(self) -> None:
        """Verify the rules, and try again for node ports that others held."""
        self._dirty.update(key for key, ports in self._served.items() if not self._clashes.isdisjoint(ports))
        self._dirty |= self._external.services_refused
        self._rules_dirty = self._verify = True

    def _on_service(self, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        metrics.service_changes.inc()
        if changed := new or old:
            self._enqueue(meta.key_of(changed))

    def _on_endpoints(self, service: Key) -> None:
        metrics.endpoint_changes.inc()
        self._enqueue(service)

    def _enqueue(self, service: Key) -> None:
        self._dirty.add(service)
        if self._waiting_since is None:
            self._waiting_since = time.time()
        metrics.queued()
        self._wake.set()
