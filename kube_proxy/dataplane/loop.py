"""A worker's event loop: a bare epoll, a handler per descriptor, one clock tick.

asyncio spends more on a request than the kernel does; here a readable socket's handler is one dictionary look-up away.
Handlers get the epoll event mask, must not block, and may see an event that belonged to an earlier socket of the same
number: a read that would block shows that.
"""

import logging
import select
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

Handler = Callable[[int], None]

LOG_EVERY = 30.0
"""Seconds between two lines about the same trouble."""


class Loop:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Handler] = {}
        self.wake_within: Callable[[], float] = lambda: -1.0
        """Seconds until ``on_tick`` is due even if no socket is ready; negative for never."""
        self.on_tick: Callable[[float], None] = lambda now: None
        self._stopped = False

    def register(self, fd: int, events: int, handler: Handler) -> None:
        self.handlers[fd] = handler
        self.epoll.register(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget a descriptor that stays open, here or in another process. A closed one leaves by itself."""
        if self.handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        poll, handlers = self.epoll.poll, self.handlers
        next_tick = 0.0
        while not self._stopped:
            for fd, events in poll(self.wake_within(), 512):
                handler = handlers.get(fd)
                if handler is None:
                    continue  # closed by an earlier handler of this round
                try:
                    handler(events)
                except Exception:  # a bug met by one connection must not stop the others
                    log.exception("descriptor %d: handler failed", fd)
                    handlers.pop(fd, None)
            now = time.monotonic()
            if now >= next_tick:
                self.on_tick(now)
                next_tick = now + 0.05


class Complaints:
    """Warnings, the same one every ``LOG_EVERY`` seconds at most."""

    def __init__(self) -> None:
        self._last_logged: dict[str, float] = {}

    def log(self, topic: str, message: str, *args: object) -> None:
        now = time.monotonic()
        if now - self._last_logged.get(topic, -LOG_EVERY) >= LOG_EVERY:
            self._last_logged[topic] = now
            log.warning(message, *args)
