"""Many watchers of one object, in one process: reads a job from stdin, prints when each event came.

One TLS connection for each watcher, all in one epoll. An event's time is when the kernel first showed its bytes, so
that the queue inside this process does not count as the server's. Protocol with the parent, a line each: ``ready``
once every watch is open; then the outcome, when the expected number of events came or stdin was closed.
"""

import json
import re
import select
import socket
import ssl
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.measure import percentile

STAMP = "stamp"
"""The key of the config map whose value is the time of the change: nanoseconds of the monotonic clock."""
_STAMP = re.compile(rb'"stamp":"(\d+)"')
_BUFFER = 65536
QUIET = 15.0
"""Seconds without an event after which no more are waited for."""


@dataclass(frozen=True)
class Job:
    host: str
    port: int
    path: str
    token: str
    watchers: int
    events: int
    """How many in all, over all watchers."""


@dataclass(frozen=True)
class Outcome:
    delivered: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    own_cpu_seconds: float


class Watch:
    """One open watch, and the part of a line that came so far."""

    def __init__(self, job: Job, context: ssl.SSLContext) -> None:
        plain = socket.create_connection((job.host, job.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=job.host)
        head = f"GET {job.path} HTTP/1.1\r\nHost: {job.host}\r\nAuthorization: Bearer {job.token}\r\n\r\n"
        self.socket.sendall(head.encode())
        self._rest = self._past_head()
        self.socket.setblocking(False)

    def _past_head(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.socket.recv(_BUFFER)
            if not data:
                raise SystemExit("the server closed a watch")
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"the server refused a watch: {head[:200].decode(errors='replace')}")
        return rest

    def stamps(self) -> list[int]:
        """The stamps of the events that are complete by now. Raises OSError for a watch that ended."""
        stamps: list[int] = []
        while True:
            try:
                data = self.socket.recv(_BUFFER)
            except (BlockingIOError, ssl.SSLWantReadError):
                return stamps
            if not data:
                raise ConnectionResetError
            # one event is one line, wherever the chunks of the transfer begin and end
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            stamps += [int(stamp[1]) for line in lines if (stamp := _STAMP.search(line))]


def watch(job: Job) -> Outcome:
    """Open all watches, say so, and collect."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    watches = {watch.socket.fileno(): watch for watch in (Watch(job, context) for _ in range(job.watchers))}
    poll = select.epoll()
    for number in watches:
        poll.register(number, select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    began = time.process_time()
    delays = _collect(job, watches, poll)
    spent = time.process_time() - began
    if not delays:
        raise SystemExit("no event came")
    p50, p99, last = (percentile(delays, share) / 1e6 for share in (0.5, 0.99, 1.0))
    return Outcome(len(delays), p50, p99, last, spent)


def _collect(job: Job, watches: dict[int, Watch], poll: select.epoll) -> list[int]:
    """Nanoseconds from change to delivery, of each event."""
    delays: list[int] = []
    while len(delays) < job.events:
        ready = poll.poll(QUIET)
        now = time.monotonic_ns()
        if not ready:
            break
        for number, _ in ready:
            if number == sys.stdin.fileno():
                return delays
            try:
                delays += [now - stamp for stamp in watches[number].stamps()]
            except OSError:
                raise SystemExit(f"the server closed a watch after {len(delays)} events") from None
    return delays


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    print(json.dumps(asdict(watch(job))), flush=True)


if __name__ == "__main__":
    main()
