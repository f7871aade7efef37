"""Keeps the kernel and the proxy's data plane in accordance with the network policies that the API has.

Events only wake the loop, which plans from the whole picture and applies what differs. Pods, namespaces and nodes are
watched while there is a policy. Whatever cannot be done now is tried again, and the Node says so meanwhile.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1, networking_v1
from host_network.commands import CommandError
from kube_client import Client, Informer
from kube_proxy import metrics
from kube_proxy.dataplane.messages import Policies
from kube_proxy.network_policy.kernel import Kernel
from kube_proxy.network_policy.plan import Member, member, plan
from kube_proxy.network_policy.report import NodeReport

log = logging.getLogger(__name__)

GATHER = 0.02
"""Seconds in which events gather before a sync."""
LONGEST_GATHER = 0.3
RETRY_DELAYS = (0.1, 0.5, 1.0, 5.0)
VERIFY_PERIOD = 10.0
"""Seconds between two verifications of the kernel's rules and sets."""
REPORT_RETRY = 5.0
SWITCHED_OFF = "kube-proxy runs with --network-policy=false"
PATIENCE = 10.0
"""Seconds that the proxy waits for the policies before it serves without."""


@dataclass
class Cluster:
    """What policies are resolved with."""

    pods: Informer[core_v1.Pod]
    namespaces: Informer[core_v1.Namespace]
    nodes: Informer[core_v1.Node]
    tasks: list[asyncio.Task[None]]


class Enforcer:
    def __init__(
        self,
        client: Client,
        kernel: Kernel,
        report: NodeReport,
        guard: Callable[[Policies | None], object],
    ) -> None:
        """``guard`` has the proxy begin only connections that the policies allow."""
        self._client = client
        self._kernel, self._report, self._guard = kernel, report, guard
        self._policies = Informer(client.resource(networking_v1.NetworkPolicy))
        self._policies.on_change(lambda old, new: self._wake.set())
        self._cluster: Cluster | None = None
        self._members: dict[Key, Member] = {}
        """The pods that policies can select."""
        self._applied: Policies | None = None
        self._verify = True
        self._started = False
        """Whether the kernel is as the policies want it, not as an earlier run left it."""
        self._wake = asyncio.Event()
        self._known = asyncio.Event()
        self._fault: str | None = None
        """Why the host does not enforce policies; empty when it does, None before it is known."""
        self._reported: str | None = None

    async def known(self) -> None:
        """Wait until the proxy has the policies, or until that has taken too long."""
        try:
            await asyncio.wait_for(self._known.wait(), PATIENCE)
        except TimeoutError:
            log.warning("network policies are not known after %d s; services are served without them", PATIENCE)

    async def run(self) -> None:
        """Enforce until cancelled. The rules stay."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._policies.run(), name="networkpolicies")
            tasks.create_task(self._keep_reporting(), name="network policy report")
            await self._loop(tasks)

    async def _loop(self, tasks: asyncio.TaskGroup) -> None:
        await self._check()
        await self._policies.synced.wait()
        failures, next_verification = 0, 0.0
        while True:
            self._wake.clear()
            if time.monotonic() >= next_verification:
                self._verify = True
                next_verification = time.monotonic() + VERIFY_PERIOD * random.uniform(0.7, 0.95)
            began = time.monotonic()
            try:
                if self._verify and self._fault:
                    await self._check()
                await self._follow_cluster(tasks)
                await self._sync()
                failures = 0
            except (CommandError, TimeoutError) as exc:
                metrics.policy_failures.inc()
                self._verify = True
                self._set_fault(str(exc))
                failures += 1
            # Where planning takes long, more events are gathered: half of the time is the proxy's.
            took = min(time.monotonic() - began, LONGEST_GATHER)
            wait = max(0.0, next_verification - time.monotonic())
            if failures:
                await asyncio.sleep(RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1])
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
            await asyncio.sleep(max(GATHER, took))

    async def _check(self) -> None:
        try:
            await asyncio.to_thread(self._kernel.check)
        except CommandError as exc:
            self._set_fault(str(exc))
        else:
            self._set_fault("")

    async def _follow_cluster(self, tasks: asyncio.TaskGroup) -> None:
        """Watch what policies are resolved with while there are any."""
        if len(self._policies) and self._cluster is None:
            self._cluster = self._watch(tasks)
        elif not len(self._policies) and self._cluster is not None:
            for task in self._cluster.tasks:
                task.cancel()
            self._cluster = None
            self._members.clear()
        if cluster := self._cluster:
            try:
                async with asyncio.timeout(PATIENCE):
                    for informer in (cluster.namespaces, cluster.nodes, cluster.pods):
                        await informer.synced.wait()
            except TimeoutError:
                raise TimeoutError("the apiserver does not list namespaces, nodes and pods") from None

    def _watch(self, tasks: asyncio.TaskGroup) -> Cluster:
        pods = Informer(self._client.resource(core_v1.Pod))
        namespaces = Informer(self._client.resource(core_v1.Namespace))
        nodes = Informer(self._client.resource(core_v1.Node))
        pods.on_change(self._on_pod)
        namespaces.on_change(self._on_namespace)
        nodes.on_change(self._on_node)
        running = [
            tasks.create_task(pods.run(), name="pods"),
            tasks.create_task(namespaces.run(), name="namespaces"),
            tasks.create_task(nodes.run(), name="nodes"),
        ]
        return Cluster(pods, namespaces, nodes, running)

    async def _sync(self) -> None:
        started = time.perf_counter()
        cluster = self._cluster
        policies: Policies | None = None
        if cluster:
            policies = await asyncio.to_thread(
                plan,
                self._policies.list(),
                [*self._members.values()],
                cluster.namespaces.list(),
                cluster.nodes.list(),
                self._report.node,
            )
        changed = policies != self._applied
        if changed or not self._known.is_set():
            self._guard(policies)  # the proxy first: it needs no command
            self._known.set()
        if not changed and (not self._verify or (self._started and policies is None)):
            return
        steps = await asyncio.to_thread(self._kernel.apply, policies, verify=self._verify)
        self._applied, self._verify, self._started = policies, False, True
        if policies:
            self._set_fault("")
        if steps:
            log.info("network policies: %d steps, %d rules", steps, len(policies.rules) if policies else 0)
            metrics.policy_steps.inc(by=steps)
        metrics.policy_rules.set(len(policies.rules) if policies else 0)
        metrics.policy_sync_duration.observe(time.perf_counter() - started)

    async def _keep_reporting(self) -> None:
        while True:
            if self._fault is not None and self._fault != self._reported:
                fault = self._fault
                reason = "HostCannot" if fault else "RulesInPlace"
                said = await self._report.say(reason, fault or "network policies are enforced", enforced=not fault)
                self._reported = fault if said else None
            await asyncio.sleep(REPORT_RETRY if self._fault != self._reported else 1.0)

    def _set_fault(self, fault: str) -> None:
        if fault != self._fault:
            if fault:
                log.warning("network policies are not enforced: %s", fault)
            self._fault = fault

    def _on_pod(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        key = meta.key_of(new or old)  # type: ignore[arg-type]  # one of them is there
        before, now = self._members.pop(key, None), member(new) if new else None
        if now:
            self._members[key] = now
        if before != now:
            self._wake.set()

    def _on_namespace(self, old: core_v1.Namespace | None, new: core_v1.Namespace | None) -> None:
        if old is None or new is None or old.metadata.labels != new.metadata.labels:
            self._wake.set()

    def _on_node(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        if (
            old is None
            or new is None
            or (old.spec.pod_cidr, old.status.addresses) != (new.spec.pod_cidr, new.status.addresses)
        ):
            self._wake.set()


async def disable(kernel: Kernel, report: NodeReport) -> None:
    """Remove what an earlier run enforced, and say so on the Node until that is done."""
    try:
        await asyncio.to_thread(kernel.cleanup)
    except CommandError as exc:
        log.info("%s; nothing to remove of network policies", exc)
    while True:
        if await report.say("Disabled", SWITCHED_OFF, enforced=False):
            return
        await asyncio.sleep(REPORT_RETRY)
