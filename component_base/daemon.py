"""One daemon as a process: event loop, logging, signals, limits, exit code.

Owns the root task. Promises:
- the first SIGTERM or SIGINT cancels the root task, which then has ``GRACE`` seconds to clean up; a second
  signal, or the end of that time, ends the process at once, even if threads still run;
- a root task that ends without a signal, even without an error, ends the daemon with status 1, so that its
  supervisor restarts it; so does an event loop that does not come back (see ``watchdog``).
The ``main`` coroutine function does the daemon's work.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from component_base import flags, logs, memory, open_files
from component_base.event_loop import Loop
from component_base.watchdog import Watchdog

log = logging.getLogger(__name__)

OptionsT = TypeVar("OptionsT", bound=flags.Options)

GRACE = 8.0
"""Seconds from the first signal to the hard exit. Above serving's own 3 s, below systemd's stop timeout."""


def run(name: str, main: Callable[[OptionsT], Coroutine[Any, Any, None]], options: OptionsT) -> NoReturn:
    """Run ``main(options)`` until a signal ends it, then exit the process. Call it last."""
    logs.setup(options.logging_format, options.v)  # type: ignore[arg-type]  # the flag allows these alone
    faulthandler.enable()
    open_files.raise_limit()
    log.info("%s: starting, pid %d", name, os.getpid())
    for line in flags.describe(options):
        log.debug("%s: FLAG %s", name, line)
    with asyncio.Runner(loop_factory=Loop) as runner:
        code = runner.run(_root(name, main(options)))
    log.info("%s: stopped", name)
    logs.flush()
    sys.exit(code)


async def _root(name: str, main: Coroutine[Any, Any, None]) -> int:
    """Run the daemon's root task to its end. Returns the process's exit status."""
    stop = _Signals(name)
    task = asyncio.create_task(main, name=name)
    upkeep = asyncio.create_task(memory.keep_giving_back(), name="memory")
    stop.cancel_on_signal(task)
    try:
        with Watchdog(name, end=lambda: _exit(1)):
            await asyncio.wait([task])
    finally:
        upkeep.cancel()
        stop.restore()
    if stop.requested and (task.cancelled() or task.exception() is None):
        return 0
    if task.cancelled():
        log.critical("%s: the root task cancelled itself", name)
        return 1
    if error := task.exception():
        log.critical("%s: the root task failed", name, exc_info=error)
        return 1
    log.critical("%s: the root task ended unexpectedly", name)
    return 1


class _Signals:
    """The first signal cancels, the second exits; a thread exits when the grace period is over.

    The thread is needed because an executor's blocked thread, or a loop that never gets back
    to its callbacks, would otherwise keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self.requested = False
        self._name = name
        self._loop = asyncio.get_running_loop()

    def cancel_on_signal(self, task: "asyncio.Task[None]") -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number, task)

    def restore(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
            if self.requested:  # the loop's own clean-up follows; a second signal must still end the process
                signal.signal(number, signal.SIG_DFL)

    def _on_signal(self, number: signal.Signals, task: "asyncio.Task[None]") -> None:
        if self.requested:
            log.warning("%s: second signal, exiting at once", self._name)
            _exit(128 + number)
        self.requested = True
        log.info("%s: %s, stopping", self._name, number.name)
        watchdog = threading.Timer(GRACE, self._overdue)
        watchdog.daemon = True
        watchdog.start()
        task.cancel()

    def _overdue(self) -> None:
        log.error("%s: not stopped after %.0f s, exiting at once", self._name, GRACE)
        _exit(1)


def _exit(code: int) -> NoReturn:
    logs.flush()
    os._exit(code)


def freeze() -> None:
    """Exclude all live objects from garbage collection; call it once after warm-up.

    Modules, types and warm caches live as long as the process, so walking them in each full collection is wasted.
    The thresholds make young collections rarer: API objects have no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
