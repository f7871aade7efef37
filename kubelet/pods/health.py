"""How the running containers of one pod fare, by their probes and hooks: what its plan and its status need of it."""

import asyncio
from collections.abc import Callable, Sequence

from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.containers.hooks import PodHooks
from kubelet.pods.plan import Health, latest_records
from kubelet.probes import Checks, PodProbes
from kubelet.probes.checks import Target
from kubelet.runtime import ContainerRecord


class Vitals:
    """Belongs to one worker's task; ``tasks`` owns probes and hooks, ``wake`` is called when something changed."""

    def __init__(
        self,
        checks: Checks,
        recorder: EventRecorder,
        host_ips: Callable[[], tuple[str, ...]],
        tasks: asyncio.TaskGroup,
        wake: Callable[[], object],
    ) -> None:
        self._recorder, self._host_ips = recorder, host_ips
        self._probes = PodProbes(checks, tasks, wake, lambda pod, name, text: self._warn(pod, name, "Unhealthy", text))
        self._hooks = PodHooks(checks, tasks, wake, self._warn)

    def follow(self, pod: core_v1.Pod, records: Sequence[ContainerRecord], *, ending: bool) -> None:
        """Look after the containers that run now."""
        running = {name: one for name, one in latest_records(records).items() if one.running}
        self._probes.follow(pod, running, self._address(pod, records))
        if ending:
            self._probes.stop_liveness()
        for record in records:
            if not record.running:
                self._hooks.forget(record.id)

    def started(self, pod: core_v1.Pod, spec: core_v1.Container, records: Sequence[ContainerRecord]) -> None:
        """A container was just started, by this kubelet."""
        record = latest_records(records).get(spec.name)
        if record is not None and record.running:
            self._hooks.post_start(pod, Target(record, spec, self._address(pod, records)))

    def ready_to_stop(self, pod: core_v1.Pod, record: ContainerRecord, records: Sequence[ContainerRecord]) -> bool:
        """Whether the container's preStop hook, begun by the first call, has ended."""
        spec = containers.find(pod, record.name)
        return spec is None or self._hooks.pre_stop(pod, Target(record, spec, self._address(pod, records)))

    def grace_of_failed(self, spec: core_v1.Container, record: ContainerRecord) -> float | None:
        """Seconds that the probe for which a container is stopped leaves it, where it says so itself."""
        message = self._probes.failed.get(record.id, "")
        for probe, word in ((spec.liveness_probe, "liveness"), (spec.startup_probe, "startup")):
            if probe is not None and f" {word} probe" in message:
                return probe.termination_grace_period_seconds
        return None

    def health(self, over: str) -> Health:
        return Health(self.not_started, {**self._probes.failed, **self._hooks.failed}, over)

    @property
    def not_started(self) -> set[str]:
        return self._probes.not_started | self._hooks.not_started

    @property
    def unready(self) -> set[str]:
        return self._probes.unready

    def end(self) -> None:
        self._probes.end()
        self._hooks.end()

    def _address(self, pod: core_v1.Pod, records: Sequence[ContainerRecord]) -> str:
        if pod.spec.host_network:
            return next(iter(self._host_ips()), "127.0.0.1")
        return next((one.ip for one in records if one.is_sandbox and one.running), "")

    def _warn(self, pod: core_v1.Pod, name: str, reason: str, message: str) -> None:
        self._recorder.event(pod, "Warning", reason, message, field_path=containers.field_path(pod, name))
