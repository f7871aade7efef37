"""Health probes of daemons, over their own endpoints.

Each function returns a probe, which returns True if the daemon is healthy, and otherwise returns False or raises
OSError. Endpoints on a machine's loopback are probed from inside its namespace.
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
    """A probe: a GET from inside a namespace is answered with 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80

    def ask() -> bool:
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            tls = context() if context else None
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        return _ok(connection, parts.path)

    return lambda: namespaces.exists(namespace) and namespaces.call_in(namespace, ask)


def http_on(path: Path, url_path: str) -> Callable[[], bool]:
    """A probe: a GET over a Unix socket is answered with 200."""
    return lambda: _ok(_UnixConnection(str(path)), url_path)


def accepts(path: Path) -> Callable[[], bool]:
    """A probe: a Unix socket accepts connections."""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT)
            client.connect(str(path))
        return True

    return ask
