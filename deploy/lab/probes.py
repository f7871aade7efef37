"""Ask a daemon, over its own endpoint, whether it is well.

Each function makes a question that can be asked again and again: it returns True when the answer is good, and
False or OSError when it is not. Endpoints on a machine's loopback are asked from inside its namespace.
"""

import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from deploy.lab import namespaces

TIMEOUT = 2.0
"""Seconds for one answer."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def _ok(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def http_in(namespace: str, url: str, context: Callable[[], ssl.SSLContext] | None = None) -> Callable[[], bool]:
    """Whether a GET from inside a namespace is answered with 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80

    def ask() -> bool:
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            wanted = context() if context else None
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=wanted)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        return _ok(connection, parts.path)

    return lambda: namespaces.exists(namespace) and namespaces.call_in(namespace, ask)


def http_on(path: Path, url_path: str) -> Callable[[], bool]:
    """Whether a GET over a Unix socket is answered with 200."""
    return lambda: _ok(_UnixConnection(str(path)), url_path)


def accepts(path: Path) -> Callable[[], bool]:
    """Whether somebody accepts connections on a Unix socket."""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(path))
        return True

    return ask
