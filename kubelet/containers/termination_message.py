"""Termination messages: the file at a container's ``terminationMessagePath`` or, if its policy says so, the end of its log.

Kubernetes' limits apply to the file, to the log, and to all containers of a pod together.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet import untrusted_files
from kubelet.runtime import ContainerRecord, Mount, Runtime, errors
from kubelet.runtime.logs import LogOptions, read_logs

FILE_LIMIT = 4096
"""Bytes of the file that are reported, the last ones."""

LOG_LINES, LOG_LIMIT = 80, 2048
"""Lines and bytes of the log, the last ones."""

POD_LIMIT = 12 * 1024
"""Bytes for all containers of a pod, shared equally; of each message the first ones are reported."""


def message_mount(pod_dir: Path, container: str, attempt: int, target: str) -> Mount:
    """A new, empty file for one attempt of one container, which any user in the container may write. Blocks."""
    path = _path(pod_dir, container, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)
    return Mount(path, target)


class TerminationMessages:
    """Of one pod's ended containers. Each is read once: its file may be removed with the pod's directory."""

    def __init__(self, runtime: Runtime, pod_dir: Path) -> None:
        self._runtime, self._pod_dir = runtime, pod_dir
        self._known: dict[str, str] = {}

    @property
    def known(self) -> Mapping[str, str]:
        """By container ID; empty if the container wrote none."""
        return self._known

    def forget(self, id: str) -> None:
        self._known.pop(id, None)

    async def read(self, pod: core_v1.Pod, records: Sequence[ContainerRecord]) -> None:
        """Read the messages of containers that have ended since the last call. Raises ``errors.Unavailable``."""
        for record in records:
            if record.ended and not record.is_sandbox and record.id not in self._known:
                message = await asyncio.to_thread(read_file, self._pod_dir, record)
                if not message and falls_back_to_log(pod, record):
                    message = await self._end_of_log(record.id)
                self._known[record.id] = limited(message, sum(1 for _ in containers.all_containers(pod)))

    async def _end_of_log(self, id: str) -> str:
        text = b""
        try:
            options = LogOptions(tail_lines=LOG_LINES)
            async with aclosing(read_logs(self._runtime.engine, id, options, lambda: False)) as chunks:
                async for chunk in chunks:
                    text = (text + chunk)[-LOG_LIMIT:]
        except errors.Unavailable:
            raise
        except errors.EngineError as exc:
            return f"Error on reading termination message from logs: {exc}"
        return text.decode(errors="replace")


def read_file(pod_dir: Path, record: ContainerRecord) -> str:
    """What an ended container wrote; empty if nothing. Blocks."""
    try:
        end = untrusted_files.read_end(_path(pod_dir, record.name, record.attempt), FILE_LIMIT)
        return end.decode(errors="replace")
    except OSError:
        return ""


def falls_back_to_log(pod: core_v1.Pod, record: ContainerRecord) -> bool:
    spec = containers.find(pod, record.name)
    falls_back = spec is not None and spec.termination_message_policy == "FallbackToLogsOnError"
    return falls_back and (record.exit_code != 0 or record.oom_killed)


def limited(message: str, containers: int) -> str:
    """The share that a message may take in a pod of that many containers."""
    return message.encode()[: POD_LIMIT // max(1, containers)].decode(errors="ignore")


def _path(pod_dir: Path, container: str, attempt: int) -> Path:
    return pod_dir / "containers" / container / str(attempt)
