"""Look into a network namespace from here: run a function in it, see which processes and ports are in it.

``os.setns`` came with Python 3.12; until then libc is called. The change holds for one thread only, so
each call gets a thread of its own, which ends with the call.
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
    """What ``function`` returns when it runs inside a network namespace; what it raises is raised here.

    Sockets that it opens belong to the namespace for good. Raises OSError when there is no such namespace.
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
    """The TCP ports that somebody listens on inside a namespace."""

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
    """The processes whose network is one of these namespaces, this process left out."""
    wanted = set()
    for namespace in namespaces:
        if exists(namespace):
            status = path_of(namespace).stat()
            wanted.add((status.st_dev, status.st_ino))
    return [pid for pid in all_pids() if pid != os.getpid() and _network_of(pid) in wanted] if wanted else []


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _network_of(pid: int) -> tuple[int, int] | None:
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:  # ended in the meantime, or a zombie
        return None
    return status.st_dev, status.st_ino
