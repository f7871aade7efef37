"""A DNS client that asks one server as fast as it answers: ``python -m benchmarks.questions``.

A fixed number of questions is under way; each answer brings the next question, so the server is never idle and never
flooded. Reads a ``Job`` on stdin, writes an ``Outcome`` on stdout, both as one line of JSON. An answer without
records, or with an error, ends it: speed without answers is none.
"""

import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.measure import percentile

_HEADER: Final = struct.Struct("!HHHHHH")
_RECURSION_DESIRED: Final = 0x0100
_COOKIE: Final = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08"
"""An OPT record with a client's cookie (RFC 7873), whose eight bytes follow."""
_PATIENCE: Final = 1.0
"""Seconds without any answer after which the questions under way count as lost."""
_SAMPLED: Final = 16
"""The time of one answer out of so many is taken."""


@dataclass(frozen=True)
class Job:
    host: str
    port: int
    names: Sequence[str]
    seconds: float
    window: int = 64
    unlike: bool = False
    """Every question is unlike all others (it has a cookie), so that no answer can be ready."""


@dataclass(frozen=True)
class Outcome:
    rate: float
    answers: int
    lost: int
    p50_ms: float
    p99_ms: float


def question(name: str) -> bytes:
    """An A question without its header."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return labels + b"\0\0\1\0\1"


def answered(data: bytes) -> bool:
    """Whether a message is an answer with records and without an error."""
    _, flags, _, answers, *_ = _HEADER.unpack_from(data)
    return flags >> 15 == 1 and not flags & 0xF and answers > 0


class Asker:
    """Keeps the window full for the job's time."""

    def __init__(self, job: Job) -> None:
        self._job, self._number, self._lost = job, 0, 0
        self._bodies = [question(name) for name in job.names]
        self._sent = [0.0] * 65536
        self._delays: list[float] = []

    def run(self) -> Outcome:
        job = self._job
        answers = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((job.host, job.port))
            sock.settimeout(_PATIENCE)
            began = time.perf_counter()
            until = began + job.seconds
            self._fill(sock)
            while (now := time.perf_counter()) < until:
                try:
                    data = sock.recv(4096)
                except TimeoutError:
                    self._lost += job.window
                    self._fill(sock)
                    continue
                if not answered(data):
                    raise SystemExit(f"an answer without an address: {data[:40]!r}")
                answers += 1
                if not answers % _SAMPLED:
                    self._delays.append(now - self._sent[data[0] << 8 | data[1]])
                sock.send(self._next())
            seconds = time.perf_counter() - began
        p50, p99 = (percentile(self._delays, share) * 1000 for share in (0.5, 0.99))
        return Outcome(answers / seconds, answers, self._lost, p50, p99)

    def _fill(self, sock: socket.socket) -> None:
        for _ in range(self._job.window):
            sock.send(self._next())

    def _next(self) -> bytes:
        self._number += 1
        number, id = self._number, self._number & 0xFFFF
        self._sent[id] = time.perf_counter()
        body = self._bodies[number % len(self._bodies)]
        if not self._job.unlike:
            return _HEADER.pack(id, _RECURSION_DESIRED, 1, 0, 0, 0) + body
        return _HEADER.pack(id, _RECURSION_DESIRED, 1, 0, 0, 1) + body + _COOKIE + struct.pack("!Q", number)


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    print(json.dumps(asdict(Asker(job).run())), flush=True)


if __name__ == "__main__":
    main()
