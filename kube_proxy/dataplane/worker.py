"""One worker process: ``python -m kube_proxy.dataplane.worker FD [--logging-format ...] [--v ...]``.

Lives exactly as long as the parent keeps the other end of the socket pair ``FD`` open. Takes orders from it, reports
what is applied and, about once a second while something happens, what happened.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import time
from select import EPOLLIN, EPOLLOUT

from component_base import logs
from component_base.workers import end_with_parent
from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.guard import Gate, Judge
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import (
    Applied,
    Backends,
    Choices,
    Counters,
    Guard,
    Mark,
    Order,
    OrderReader,
    PortStats,
    Remember,
    Report,
    Serve,
    Stop,
    frame,
)
from kube_proxy.dataplane.tcp import Forwarder
from kube_proxy.dataplane.udp import DatagramForwarder

log = logging.getLogger(__name__)

REPORT_EVERY = 1.0
CHOICES_EVERY = 0.05


class Worker:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._orders = OrderReader(channel)
        self._unsent = bytearray()
        self._loop = Loop()
        self._counters = Counters()
        self._gate = Gate()
        self._tcp = Forwarder(self._loop, self._counters, self._gate)
        self._udp = DatagramForwarder(self._loop, self._counters, self._gate)
        self._stats: dict[int, PortStats] = {}
        self._affine: dict[int, Balancer] = {}
        """Of the ports with affinity."""
        self._next_report = 0.0

    def run(self) -> None:
        self._channel.setblocking(False)
        self._loop.register(self._channel.fileno(), EPOLLIN, self._on_channel)
        self._loop.on_tick = self._tick
        self._loop.wake_within = self._wake_within
        self._loop.run()

    def _on_channel(self, events: int) -> None:
        if events & EPOLLOUT:
            self._flush()
        if not events & ~EPOLLOUT:
            return
        orders = self._orders.read()
        if orders is None:
            self._loop.stop()
            return
        for order, fd in orders:
            self._obey(order, fd)

    def _obey(self, order: Order, fd: int | None) -> None:
        match order:
            case Serve(port, name, protocol, settings):
                assert fd is not None
                forwarder = self._udp if protocol == "UDP" else self._tcp
                stats = self._stats.setdefault(port, PortStats(port))
                balancer = forwarder.serve(name, settings, fd, stats)
                self._affine.pop(port, None)
                if settings.affinity_seconds is not None:
                    self._affine[port] = balancer
            case Remember(port, choices):
                self._affine[port].remember(choices)
            case Backends(port, backends):
                # Port numbers are the parent's, never used twice: the forwarder that has it takes it.
                self._tcp.set_backends(port, backends)
                self._udp.set_backends(port, backends)
            case Stop(port):
                self._tcp.stop(port)
                self._udp.stop(port)
                self._affine.pop(port, None)
            case Guard(policies):
                self._gate.judge = Judge(policies) if policies else None
            case Mark(version):
                self._send(Applied(version))

    def _send(self, report: Report) -> None:
        self._unsent += frame(report)
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._channel.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            self._loop.stop()
            return
        del self._unsent[:sent]
        self._loop.epoll.modify(self._channel.fileno(), EPOLLIN | EPOLLOUT if self._unsent else EPOLLIN)

    def _tick(self, now: float) -> None:
        self._tcp.tick(now)
        self._udp.tick(now)
        if self._unsent:
            return
        self._tell_choices()
        if now >= self._next_report and self._has_news():
            self._next_report = now + REPORT_EVERY
            self._tell_statistics()

    def _has_news(self) -> bool:
        return self._counters.any() or self._counters.open != len(self._tcp.connections.clients)

    def _tell_choices(self) -> None:
        """At once: what the parent does not know is lost with this process."""
        for port, balancer in self._affine.items():
            if balancer.has_changes:
                self._send(Choices(port, balancer.take_changes()))

    def _tell_statistics(self) -> None:
        counters = self._counters
        counters.open = len(self._tcp.connections.clients)
        self._send(counters)
        for name in counters.__struct_fields__:
            if name != "open":
                setattr(counters, name, 0)
        for port, stats in [*self._stats.items()]:
            if stats.is_news:
                self._send(stats)
                stats.clear()
            elif not stats.backends and port not in self._tcp.listeners and port not in self._udp.ports:
                del self._stats[port]  # no longer served, and its last connection has ended

    def _wake_within(self) -> float:
        waits = [self._tcp.wake_within(), self._udp.wake_within()]
        if self._has_news():
            waits.append(CHOICES_EVERY if self._affine else REPORT_EVERY)
        return min((wait for wait in waits if wait >= 0), default=-1.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="kube-proxy-worker")
    parser.add_argument("channel", type=int)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--logging-format", choices=["text", "json"], default="text")
    parser.add_argument("--v", type=int, default=2)
    arguments = parser.parse_args()
    end_with_parent(arguments.parent)
    # The parent stops us by closing the channel; a terminal's Ctrl-C reaches both, and is its business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.setup(arguments.logging_format, arguments.v)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    started = time.monotonic()
    Worker(socket.socket(fileno=arguments.channel)).run()
    log.debug("worker %d: stopped after %.0f s", os.getpid(), time.monotonic() - started)


if __name__ == "__main__":
    main()
