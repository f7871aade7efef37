"""Who this process is among the candidates for a lease.

The serving port is bound before the process stands for election, so at any moment at most one process holds a given
(kernel, network namespace, address, port). A daemon that was killed and restarted therefore recognises its own
lease and leads at once, and two that run side by side never mistake each other for themselves.
"""

import os
import socket
import uuid
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK_NAMESPACE = Path("/proc/self/ns/net")


def identity(bind_address: str, port: int) -> str:
    """``<host>_<unique part>``; random where no port is served or the kernel's identity cannot be read."""
    host = socket.gethostname()
    try:
        place = f"{_BOOT_ID.read_text().strip()}/{os.stat(_NETWORK_NAMESPACE).st_ino}/{bind_address}:{port}"
    except OSError:
        port = 0
    unique = uuid.uuid5(uuid.NAMESPACE_OID, place) if port else uuid.uuid4()
    return f"{host}_{unique}"
