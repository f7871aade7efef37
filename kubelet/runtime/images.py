"""Images on this node: is it here, and if not, get it, in the background, with growing pauses after failures.

A pull never blocks a pod's worker: ``pull`` answers at once how far it is, and ``on_change`` is called when that
changes. Pods that want the same image at once share one pull.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import docker
import docker.utils

from kubelet.runtime import errors
from kubelet.runtime.engine import Engine
from kubelet.runtime.threads import run_in_thread

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between failed pulls of one image, doubled each time, as Kubernetes does."""

CONCURRENT = 4

_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?/)?"  # registry
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"  # path
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?"
)


def is_valid(image: str) -> bool:
    """Could this name an image at all?"""
    return _REFERENCE.fullmatch(image) is not None


Waiter = tuple[str, str]
"""Pod UID and container name."""


@dataclass
class Pull:
    """One image on its way. ``done`` or ``failure`` is set in the end; then ``retry_at`` says when to try again."""

    image: str
    started: float
    done: bool = False
    failure: str = ""
    retry_at: float = 0.0
    pause: float = 0.0
    seconds: float = 0.0
    waiters: set[Waiter] = field(default_factory=set)

    @property
    def under_way(self) -> bool:
        return not self.done and not self.failure

    def seconds_since_end(self, now: float) -> float:
        return now - self.started - self.seconds


class Images:
    """Belongs to the event loop."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._pulls: dict[str, Pull] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._listener: Callable[[str], object] = lambda uid: None

    def on_change(self, listener: Callable[[str], object]) -> None:
        """``listener`` gets the UID of each pod that waits for a pull that has ended."""
        self._listener = listener

    def now(self) -> float:
        """The clock that pulls are measured by."""
        return self._clock()

    def seconds_to_retry(self, pull: Pull) -> float:
        return max(0.0, pull.retry_at - self._clock())

    async def inspect(self, image: str) -> dict[str, Any]:
        """The engine's description. Raises ``errors.ImageNotFound``."""
        found: dict[str, Any] = await self._engine.call(
            lambda client: client.inspect_image(image)  # type: ignore[no-untyped-call]
        )
        return found

    def pull(self, image: str, waiter: Waiter) -> Pull:
        """Have the image pulled unless it is on its way or failed a moment ago; tells how far it is.

        A pull that is ``done`` is forgotten when it was told: the next call begins another.
        """
        known = self._pulls.get(image)
        now = self._clock()
        if known is not None and (known.under_way or (known.failure and now < known.retry_at)):
            known.waiters.add(waiter)
            return known
        if known is not None and known.done and waiter in known.waiters:
            known.waiters.discard(waiter)
            if not known.waiters:
                del self._pulls[image]
            return known
        begun = Pull(image, now, pause=known.pause if known else 0.0, waiters={waiter})
        self._pulls[image] = begun
        task = asyncio.create_task(self._run(begun), name=f"pull {image}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return begun

    async def _run(self, pull: Pull) -> None:
        try:
            async with self._slots:
                await run_in_thread(lambda: self._pull(pull.image), name=f"pull {pull.image}")
            pull.done = True
        except errors.EngineError as exc:
            pull.failure = str(exc) or type(exc).__name__
        except Exception as exc:
            log.exception("%s: pull failed", pull.image)
            pull.failure = repr(exc)
        now = self._clock()
        pull.seconds = now - pull.started
        if pull.failure:
            pull.pause = min(LONGEST_PAUSE, pull.pause * 2 or FIRST_PAUSE)
            pull.retry_at = now + pull.pause
            log.info("%s: pull failed: %s; next try in %.0f s", pull.image, pull.failure, pull.pause)
        for uid in {uid for uid, _ in pull.waiters}:
            self._listener(uid)

    def _pull(self, image: str) -> None:
        """Blocks. The engine reports most failures as a line of the progress stream."""
        repository, tag = docker.utils.parse_repository_tag(image)
        with self._engine.dedicated() as client:
            for line in client.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if "error" in line:
                    raise errors.Refused(str(line["error"]))
