"""Our own HTTP load generator: one thread, epoll and bare sockets. Reads a job from stdin, prints the outcome.

Enough of HTTP/1.1 for what is measured: answers with a Content-Length, chunked ones, and those that end with the
connection. Run with ``bulk``, it reads one long answer and prints the bytes a second.
"""

import json
import secrets
import select
import socket
import ssl
import sys
import time
from dataclasses import asdict
from typing import Any

from benchmarks.load import Job, Outcome
from benchmarks.measure import percentile

_BUFFER = 256 * 1024


class Connection:
    """One request under way at any time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self.socket = load.connect()
        self._received = bytearray()
        self._total: int | None = None
        self._chunked = False
        self._began = 0.0
        self._status = 0

    def send(self) -> None:
        self._received.clear()
        self._total, self._chunked = None, False
        self._began = time.perf_counter()
        self.socket.setblocking(True)
        self.socket.sendall(self._load.request())
        self.socket.setblocking(False)

    def readable(self) -> bool:
        """Take what is there; whether the answer is complete. Raises OSError for a lost connection."""
        while True:
            try:
                data = self.socket.recv(_BUFFER)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not data:
                raise ConnectionResetError
            self._received += data
            if self._complete():
                self._load.finished(time.perf_counter() - self._began, self._status, len(self._received))
                return True

    def _complete(self) -> bool:
        if self._total is None and not self._chunked:
            head, separator, _ = self._received.partition(b"\r\n\r\n")
            if not separator:
                return False
            self._status = int(head[9:12])
            fields = bytes(head).lower()
            at = fields.find(b"content-length:")
            self._chunked = at < 0
            if at >= 0:
                self._total = len(head) + 4 + int(fields[at + 15 :].split(b"\r\n", 1)[0])
        if self._chunked:
            return self._received.endswith(b"0\r\n\r\n")
        return self._total is not None and len(self._received) >= self._total


class Load:
    """The job, and what came of it so far."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._context = ssl.create_default_context()
        self._context.check_hostname = False  # what is measured is work, not trust
        self._context.verify_mode = ssl.CERT_NONE
        self._prefix, self._serial = f"b-{secrets.token_hex(4)}", 0
        self._head = self._make_head()
        self.times: list[float] = []
        self.bytes = self.refused = self.broken = 0

    def _make_head(self) -> str:
        job = self._job
        lines = [f"{job.method} {job.path} HTTP/1.1", f"Host: {job.host}"]
        if job.token:
            lines.append(f"Authorization: Bearer {job.token}")
        if job.gzip:
            lines.append("Accept-Encoding: gzip")
        if job.close:
            lines.append("Connection: close")
        if job.body:
            lines.append("Content-Type: application/json")
        return "\r\n".join(lines)

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self._job.host, self._job.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(plain, server_hostname=self._job.host) if self._job.tls else plain

    def request(self) -> bytes:
        if not self._job.body:
            return f"{self._head}\r\n\r\n".encode()
        self._serial += 1
        body = self._job.body.replace("@NAME@", f"{self._prefix}-{self._serial}")
        return f"{self._head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    def finished(self, seconds: float, status: int, size: int) -> None:
        self.times.append(seconds)
        self.bytes += size
        self.refused += status >= 400

    def run(self) -> Outcome:
        poll = select.epoll()
        connections: dict[int, Connection] = {}

        def open_one() -> None:
            connection = Connection(self)
            connection.send()
            connections[connection.socket.fileno()] = connection
            poll.register(connection.socket, select.EPOLLIN)

        def close_one(number: int) -> None:
            poll.unregister(number)
            connections.pop(number).socket.close()

        for _ in range(self._job.connections):
            open_one()
        self.times.clear()
        began = time.perf_counter()
        end = began + self._job.seconds
        while time.perf_counter() < end:
            for number, _ in poll.poll(0.1):
                try:
                    if not connections[number].readable():
                        continue
                    if not self._job.close:
                        connections[number].send()
                        continue
                except OSError:
                    self.broken += 1
                close_one(number)
                open_one()
        seconds = time.perf_counter() - began
        for number in list(connections):
            close_one(number)
        p50, p99 = (percentile(self.times, share) * 1000 if self.times else 0.0 for share in (0.5, 0.99))
        return Outcome(len(self.times), seconds, self.bytes, self.refused, self.broken, p50, p99)


def bulk(host: str, port: int, size: int) -> dict[str, Any]:
    """Read ``size`` bytes as one answer; how many came, and in which time."""
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(f"GET /bulk/{size} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        buffer = bytearray(_BUFFER)
        got = connection.recv_into(buffer)
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise SystemExit("the backend does not know /bulk/: it must be 'python -m benchmarks.backend'")
        began = time.perf_counter()
        while got < size and (more := connection.recv_into(buffer)):
            got += more
        return {"bytes": got, "seconds": time.perf_counter() - began}


def main() -> None:
    job = json.load(sys.stdin)
    if sys.argv[1:] == ["bulk"]:
        print(json.dumps(bulk(job["host"], job["port"], job["size"])))
        return
    outcome = Load(Job(**job)).run()
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
