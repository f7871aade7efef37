"""Reports one pod's status: made from its containers, handed to the status manager, which writes it."""

from collections.abc import Mapping, Sequence

from apimachinery import meta
from apimachinery.types import core_v1
from kubelet.containers.node_context import NodeContext
from kubelet.containers.termination_message import TerminationMessages
from kubelet.containers.waiting import Waiting
from kubelet.pods.plan import Health
from kubelet.pods.status import PodFailure, PodState, pod_status, rejected_status
from kubelet.pods.status_manager import StatusManager
from kubelet.runtime import ContainerRecord


class StatusReporter:
    """Belongs to one worker's task."""

    def __init__(self, statuses: StatusManager, messages: TerminationMessages, node: NodeContext) -> None:
        self._statuses, self._messages, self._node = statuses, messages, node

    async def read_messages(self, pod: core_v1.Pod, records: Sequence[ContainerRecord]) -> None:
        """Read what containers that have ended left to say, for the next status. Raises ``errors.Unavailable``."""
        await self._messages.read(pod, records)

    def make(
        self,
        pod: core_v1.Pod,
        records: Sequence[ContainerRecord],
        waiting: Mapping[str, Waiting],
        health: Health,
        failure: PodFailure | None,
    ) -> core_v1.PodStatus:
        """The status now."""
        before = self._statuses.latest(pod)
        if failure is not None and not records and not before.container_statuses:
            return rejected_status(before, failure, meta.now())
        state = PodState(
            records=records,
            host_ips=self._node.host_ips,
            now=meta.now(),
            waiting=waiting,
            messages=self._messages.known,
            health=health,
            failure=failure,
        )
        return pod_status(pod, before, state)

    def report(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> None:
        """Have the status written if it differs from the last."""
        self._statuses.set(pod, status)

    async def settled(self, uid: str) -> None:
        """Return when the newest status is written, or cannot be because the pod is gone."""
        await self._statuses.settled(uid)

    def started_at(self, pod: core_v1.Pod) -> float | None:
        """When this node accepted the pod, in seconds since the epoch."""
        start_time = self._statuses.latest(pod).start_time
        return meta.parse_time(start_time).timestamp() if start_time else None

    def forget_container(self, id: str) -> None:
        self._messages.forget(id)

    def forget_pod(self, uid: str) -> None:
        self._statuses.forget(uid)
