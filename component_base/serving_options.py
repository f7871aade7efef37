"""The flags of a daemon that serves /healthz and /metrics over HTTPS, and the server that they describe.

A daemon derives its own class to have its own port:

    @dataclass(frozen=True, kw_only=True)
    class SchedulerServing(ServingOptions):
        secure_port: int = secure_port(10259)

and serves with ``async with options.serving.serve(daemon_app(health)):``.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from component_base.flags import option
from component_base.serving import TLS, Server, ssl_context
from component_base.values import IPAddress


def secure_port(default: int) -> Any:
    """The flag ``--secure-port``, with a daemon's own default."""
    return option(default, "Port for /healthz and /metrics; 0 for none.")


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    bind_address: IPAddress = option("0.0.0.0", "Address to serve /healthz and /metrics on; all by default.")
    secure_port: int = secure_port(0)
    tls_cert_file: Path | None = option(None, "Certificate to serve with; without it there is no TLS.")
    tls_private_key_file: Path | None = option(None, "Key of that certificate.")

    def __post_init__(self) -> None:
        check_port("secure-port", self.secure_port)
        check_key_pair(self.tls_cert_file, self.tls_private_key_file)

    @asynccontextmanager
    async def serve(self, app: Any) -> AsyncIterator[Server | None]:
        """Serve the application for the duration of the block; nothing (None) where the port is 0.

        Raises:
            OSError: the address is in use, or not one of this machine's.
        """
        if not self.secure_port:
            yield None
            return
        tls = None
        if self.tls_cert_file is not None and self.tls_private_key_file is not None:
            tls = TLS(self.tls_cert_file, self.tls_private_key_file)
        async with Server(app, [(str(self.bind_address), self.secure_port)], tls=tls) as server:
            yield server


def check_port(flag: str, port: int) -> None:
    """Raises ValueError, naming the flag, if ``port`` is neither 0 nor a port."""
    if not 0 <= port <= 65535:
        raise ValueError(f"--{flag}: {port} is not a port, which is between 0 and 65535")


def check_key_pair(certificate: Path | None, key: Path | None) -> None:
    """Raises ValueError, naming the flag, unless ``--tls-cert-file`` and ``--tls-private-key-file`` can be served."""
    if (certificate is None) != (key is None):
        raise ValueError("--tls-cert-file and --tls-private-key-file must be given together")
    if certificate is None or key is None:
        return
    for flag, path in (("tls-cert-file", certificate), ("tls-private-key-file", key)):
        check_readable(flag, path)
    try:
        ssl_context(TLS(certificate, key))
    except (OSError, ValueError) as exc:
        reason = exc.reason if isinstance(exc, ssl.SSLError) else exc
        raise ValueError(f"--tls-cert-file {certificate}, --tls-private-key-file {key}: no key pair: {reason}") from exc


def check_readable(flag: str, path: Path) -> bytes:
    """The file's content. Raises ValueError, naming the flag, if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ValueError(f"--{flag} {path}: {exc.strerror}") from exc
