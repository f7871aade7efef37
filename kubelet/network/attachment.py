"""Whether a sandbox is still on the pods' bridge: by the devices in its own network namespace, not by the engine's record."""

from collections.abc import Collection
from pathlib import Path


def is_attached(pid: int, ports: Collection[int], proc: Path = Path("/proc")) -> bool:
    """Whether the other end of a device of process ``pid`` is one of the bridge's ``ports``, by their indexes.

    True where that cannot be told: the process has ended, or sees no devices. Blocks a little.
    """
    devices = proc / str(pid) / "root/sys/class/net"
    try:
        names = [path.name for path in devices.iterdir()]
        return any(int((devices / name / "iflink").read_text()) in ports for name in names)
    except (OSError, ValueError):
        return True
