"""Events about pods and their containers; a container's name the place in the spec that defines it."""

from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import EventRecorder


class PodEvents:
    """Records events of pods. Returns at once and never raises."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def normal(self, pod: core_v1.Pod, reason: str, message: str, container: str = "") -> None:
        self._record(pod, "Normal", reason, message, container)

    def warning(self, pod: core_v1.Pod, reason: str, message: str, container: str = "") -> None:
        self._record(pod, "Warning", reason, message, container)

    def _record(self, pod: core_v1.Pod, type: str, reason: str, message: str, container: str) -> None:
        field_path = containers.field_path(pod, container) if container else ""
        self._recorder.event(pod, type, reason, message, field_path=field_path)
