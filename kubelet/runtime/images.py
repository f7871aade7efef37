"""Images on this node: listed, removed, and pulled in the background, with growing pauses after failures.

A pull never blocks a pod's worker: ``pull`` returns its state at once, and ``on_change`` is called when it has ended.
Pods that need the same image at once, with the same credentials, share one pull.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    """Whether this has the form of an image's name."""
    return _REFERENCE.fullmatch(image) is not None


Waiter = tuple[str, str]
"""Pod UID and container name."""


class Login(Protocol):
    """What a registry authenticates."""

    def for_engine(self) -> dict[str, str]: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class ImageRecord:
    """An image on this node."""

    id: str
    names: tuple[str, ...]
    """Tags and digests by which it is known."""
    size: int
    """Bytes."""
    pulled: bool
    """It came from a registry, and can be pulled again."""


@dataclass
class Pull:
    """The pull of one image. ``done`` or ``failure`` is set when it ends; ``retry_at`` is when a failed one may be retried."""

    image: str
    started: float
    logins: Sequence[Login] = ()
    """To be tried one after the other; without any, the engine's own credentials apply."""
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
        self._pulls: dict[tuple[str, Sequence[Login]], Pull] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._listener: Callable[[str], object] = lambda uid: None

    def on_change(self, listener: Callable[[str], object]) -> None:
        """``listener`` is called with the UID of each pod that was waiting for a pull that has ended."""
        self._listener = listener

    def now(self) -> float:
        """The clock that pulls are measured by."""
        return self._clock()

    def seconds_to_retry(self, pull: Pull) -> float:
        return max(0.0, pull.retry_at - self._clock())

    async def inspect(self, image: str) -> dict[str, Any]:
        """The engine's description. Raises ``errors.ImageNotFound``."""
        inspected: dict[str, Any] = await self._engine.call(
            lambda client: client.inspect_image(image)  # type: ignore[no-untyped-call]
        )
        return inspected

    async def list(self) -> list[ImageRecord]:
        """All images here. Raises ``errors.EngineError``."""
        listed: list[dict[str, Any]] = await self._engine.call(lambda client: client.images())
        return [_record(image) for image in listed]

    async def remove(self, image: ImageRecord) -> None:
        """Remove an image by all its names. Raises ``errors.Conflict`` when a container has it."""
        for name in image.names or (image.id,):
            with suppress(errors.ImageNotFound, errors.NotFound):
                await self._engine.call(lambda client, name=name: client.remove_image(name))  # type: ignore[misc]

    def pull(self, image: str, waiter: Waiter, logins: tuple[Login, ...] = ()) -> Pull:
        """Begin to pull the image, unless a pull is under way or failed a moment ago; the pull in its present state.

        One that is ``done`` is forgotten once all waiters have had it: the next call begins another.
        """
        key = (image, logins)
        known = self._pulls.get(key)
        now = self._clock()
        if known is not None and (known.under_way or (known.failure and now < known.retry_at)):
            known.waiters.add(waiter)
            return known
        if known is not None and known.done and waiter in known.waiters:
            known.waiters.discard(waiter)
            if not known.waiters:
                del self._pulls[key]
            return known
        pull = Pull(image, now, logins, pause=known.pause if known else 0.0, waiters={waiter})
        self._pulls[key] = pull
        task = asyncio.create_task(self._run(pull), name=f"pull {image}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pull

    async def _run(self, pull: Pull) -> None:
        try:
            async with self._slots:
                await run_in_thread(lambda: self._pull(pull), name=f"pull {pull.image}")
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

    def _pull(self, pull: Pull) -> None:
        """Blocks. If every login fails, the last one's failure is raised."""
        failure: errors.EngineError | None = None
        for login in pull.logins or (None,):
            try:
                self._pull_as(pull.image, login)
            except errors.Unavailable:
                raise
            except errors.EngineError as exc:
                failure = exc
            else:
                return
        if failure is not None:
            raise failure

    def _pull_as(self, image: str, login: Login | None) -> None:
        """The engine reports most failures as a line of the progress stream."""
        repository, tag = docker.utils.parse_repository_tag(image)
        auth_config = login.for_engine() if login else None
        with self._engine.dedicated() as client:
            for line in client.pull(repository, tag=tag or "latest", stream=True, decode=True, auth_config=auth_config):
                if "error" in line:
                    raise errors.Refused(str(line["error"]))


def _record(image: dict[str, Any]) -> ImageRecord:
    tags = [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    digests = [name for name in image.get("RepoDigests") or () if not name.startswith("<none>@")]
    return ImageRecord(image["Id"], (*tags, *digests), image.get("Size") or 0, bool(digests))
