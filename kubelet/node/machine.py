"""The machine under the node: its resources and identifiers, read from /proc, /sys and /etc."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Machine:
    cpus: int
    memory: int
    """Bytes."""
    disk: int
    """Bytes of the file system under the kubelet's root."""
    architecture: str
    """As Go names it."""
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str


def read_machine(root: Path) -> Machine:
    """``root`` must exist."""
    disk = os.statvfs(root)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=disk.f_frsize * disk.f_blocks,
        architecture=_GOARCH.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=_first_line(Path("/etc/machine-id")),
        system_uuid=_first_line(Path("/sys/class/dmi/id/product_uuid")),
        boot_id=_first_line(Path("/proc/sys/kernel/random/boot_id")),
    )


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _first_line(path: Path) -> str:
    """Empty if the machine does not have the file, or does not let us read it."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
