"""Look into network namespaces: run a function in one, list its processes and ports.

``os.setns`` came with Python 3.12; until then libc is called. It changes only the calling thread, so each call uses a
new thread.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
LISTEN = "0A"
_libc = ctypes.CDLL(None, use_errno=True)


def path_of(namespace: str) -> Path:
    return Path("/run/netns") / namespace


def exists(namespace: str) -> bool:
    return path_of(namespace).exists()


def call_in(namespace: str, function: Callable[[], T]) -> T:
    """Run ``function`` inside a network namespace. Returns what it returns and raises what it raises.

    Sockets that it opens stay in the namespace. Raises OSError when there is no such namespace.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            descriptor = os.open(path_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")
            finally:
                os.close(descriptor)
            results.append(function())
        except BaseException as error:  # handed to the caller's thread, which raises it
            failures.append(error)

    thread = threading.Thread(target=enter_and_call, name=f"in {namespace}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def listening_ports(namespace: str) -> set[int]:
    """The TCP ports with a listener inside a namespace."""

    def read() -> set[int]:
        lines: list[str] = []
        for table in ("tcp", "tcp6"):
            source = Path(f"/proc/thread-self/net/{table}")
            if source.exists():
                lines += source.read_text().splitlines()[1:]
        return parse_listening(lines)

    return call_in(namespace, read)


def parse_listening(lines: Iterable[str]) -> set[int]:
    """The ports in state LISTEN among lines of /proc/net/tcp (without its heading)."""
    ports = set()
    for line in lines:
        _, local, _, state, *_ = line.split()
        if state == LISTEN:
            ports.add(int(local.rpartition(":")[2], 16))
    return ports


def processes_in(namespaces: Iterable[str]) -> list[int]:
    """The processes in these network namespaces, without this process."""
    networks = set()
    for namespace in namespaces:
        if exists(namespace):
            status = path_of(namespace).stat()
            networks.add((status.st_dev, status.st_ino))
    return [pid for pid in all_pids() if pid != os.getpid() and _network_of(pid) in networks] if networks else []


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _network_of(pid: int) -> tuple[int, int] | None:
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:  # ended in the meantime, or a zombie
        return None
    return status.st_dev, status.st_ino
