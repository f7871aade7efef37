"""What can go wrong with the engine, in the kubelet's own words.

    EngineError
      Unavailable     the engine cannot be reached, or does not answer
      NotFound        no such container, exec, network
      ImageNotFound   no such image on this node, or none to pull
      Conflict        the name is taken, or the container's state does not allow it
      Refused         the engine rejects the request; the message is its own

``translated`` is the one place where the SDK's errors are read.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import docker.errors
import requests.exceptions
import urllib3.exceptions


class EngineError(Exception):
    """A call to the engine that failed."""


class Unavailable(EngineError):
    pass


class NotFound(EngineError):
    pass


class ImageNotFound(EngineError):
    pass


class Conflict(EngineError):
    pass


class Refused(EngineError):
    pass


@contextmanager
def translated() -> Iterator[None]:
    """Raise the SDK's errors as ours, the original chained."""
    try:
        yield
    except docker.errors.ImageNotFound as exc:
        raise ImageNotFound(_text(exc)) from exc
    except docker.errors.NotFound as exc:
        raise NotFound(_text(exc)) from exc
    except docker.errors.APIError as exc:
        raise (Conflict if exc.status_code == 409 else Refused)(_text(exc)) from exc
    except docker.errors.DockerException as exc:
        raise Unavailable(str(exc)) from exc
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
        raise Unavailable(f"cannot reach the engine: {exc}") from exc


def _text(error: docker.errors.APIError) -> str:
    return str(error.explanation or error)
