"""A thread that notices when something holds the event loop, says what it is, and at last ends the process.

While the loop is held nothing else works: no health answer, no lease, no signal. So a daemon whose loop does not come
back is as good as dead, and its supervisor is to start it again. Time in which the process as a whole does not run (it
is stopped, or its machine suspended) does not count.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Self

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between questions to the loop; an idle daemon wakes as often."""

REPORT_AFTER = 5.0
EXIT_AFTER = 60.0
"""Seconds without an answer."""

_FRAMES = 15
"""How many of the innermost calls are shown."""


class Watchdog:
    """Watches the loop that runs in the thread that makes it, from ``with`` to the end of the block.

    Args:
        end: ends the process; called in the watchdog's thread.
    """

    def __init__(self, name: str, end: Callable[[], object]) -> None:
        self._name = name
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _watch(self) -> None:
        self._ask()
        held, reported = 0.0, False
        while not self._done.wait(PERIOD):
            if self._answered.is_set():
                if reported:
                    log.warning("%s: the event loop runs again, after %.0f s", self._name, held)
                held, reported = 0.0, False
                self._ask()
                continue
            held += PERIOD
            if held >= REPORT_AFTER and not reported:
                reported = True
                log.error("%s: the event loop has been held for %.0f s by %s", self._name, held, self._holder())
            if held >= EXIT_AFTER:
                log.critical("%s: the event loop does not come back, exiting: %s", self._name, self._holder())
                self._end()
                return

    def _ask(self) -> None:
        self._answered.clear()
        self._loop.call_soon_threadsafe(self._answered.set)

    def _holder(self) -> str:
        """The task, and where in the code it is."""
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._loop_thread)
        calls = traceback.format_list(traceback.extract_stack(frame)[-_FRAMES:]) if frame else []
        return f"{task.get_name() if task else 'a callback'}, in:\n{''.join(calls).rstrip()}"
