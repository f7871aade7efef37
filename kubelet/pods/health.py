"""How the running containers of one pod are doing, by their probes and lifecycle hooks."""

import asyncio
from collections.abc import Callable, Sequence

from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.containers.events import PodEvents
from kubelet.containers.hooks import PodHooks
from kubelet.containers.node_context import NodeContext
from kubelet.pods.plan import Health
from kubelet.probes import Checks, PodProbes
from kubelet.probes.checks import Target
from kubelet.runtime import ContainerRecord
from kubelet.runtime.records import latest_records, running_sandbox


class HealthMonitor:
    """Belongs to one worker's task; ``tasks`` owns probes and hooks, ``wake`` is called when something changed."""

    def __init__(
        self,
        checks: Checks,
        events: PodEvents,
        node: NodeContext,
        tasks: asyncio.TaskGroup,
        wake: Callable[[], object],
    ) -> None:
        self._node = node
        self._probes = PodProbes(checks, tasks, wake, events.warning)
        self._hooks = PodHooks(checks, events, tasks, wake)

    def follow(self, pod: core_v1.Pod, records: Sequence[ContainerRecord], *, ending: bool) -> None:
        """Watch exactly the containers that run now; in a pod that is ending none is restarted any more."""
        running = {name: record for name, record in latest_records(records).items() if record.running}
        self._probes.follow(pod, running, self._address(pod, records))
        if ending:
            self._probes.stop_liveness()
        for record in records:
            if not record.running:
                self._hooks.forget(record.id)

    def post_start(
        self, pod: core_v1.Pod, spec: core_v1.Container, record: ContainerRecord, sandbox: ContainerRecord
    ) -> None:
        """Run the postStart hook of a container that this kubelet has just started."""
        if record.running:
            self._hooks.post_start(pod, Target(record, spec, self._address(pod, [sandbox])))

    def pre_stop(self, pod: core_v1.Pod, record: ContainerRecord, records: Sequence[ContainerRecord]) -> bool:
        """Run a container's preStop hook unless it was begun before; whether it has ended."""
        spec = containers.find(pod, record.name)
        return spec is None or self._hooks.pre_stop(pod, Target(record, spec, self._address(pod, records)))

    def health(self) -> Health:
        return Health(
            not_started=self._probes.not_started | self._hooks.not_started,
            starting=self._hooks.not_started,
            unready=self._probes.unready,
            failures={**self._probes.failures, **self._hooks.failures},
        )

    def end(self) -> None:
        self._probes.end()
        self._hooks.end()

    def _address(self, pod: core_v1.Pod, records: Sequence[ContainerRecord]) -> str:
        if pod.spec.host_network:
            return next(iter(self._node.host_ips), "127.0.0.1")
        sandbox = running_sandbox(records)
        return sandbox.ip if sandbox else ""
