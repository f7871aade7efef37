"""A worker's event loop: a bare epoll, a handler per descriptor, one clock tick.

asyncio spends more on a request than the kernel does; here the way from a readable socket to its handler is one
dictionary look-up. Handlers get the epoll event mask, must not block, and may see an event that belonged to an
earlier socket of the same number: they find out by a read that would block.
"""

import logging
import select
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

Handler = Callable[[int], None]


class Loop:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Handler] = {}
        self.wake_within: Callable[[], float] = lambda: -1.0
        """Seconds until ``on_tick`` is wanted, however quiet the sockets are; negative for never."""
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
