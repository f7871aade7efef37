"""The flags of a daemon's server for /healthz and /metrics, and that server.

Each daemon has a subclass with its own port:

    @dataclass(frozen=True, kw_only=True)
    class SchedulerServing(ServingOptions):
        secure_port: int = secure_port(10259)

and serves with ``async with options.serving.serve(daemon_app(health)):``.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from component_base.credentials import CERTIFICATES, PRIVATE_KEY, check_pair
from component_base.flags import option
from component_base.serving import TLS, Server
from component_base.values import PORT, IPAddress


def secure_port(default: int) -> Any:
    """The flag ``--secure-port``, with a daemon's own default."""
    return option(default, "Port for /healthz and /metrics; 0 for none.", type=PORT)


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    bind_address: IPAddress = option("0.0.0.0", "Address to serve /healthz and /metrics on; all by default.")
    secure_port: int = secure_port(0)
    tls_cert_file: Path | None = option(
        None, "Certificate to serve with; without it there is no TLS.", type=CERTIFICATES
    )
    tls_private_key_file: Path | None = option(None, "Key of that certificate.", type=PRIVATE_KEY)

    def __post_init__(self) -> None:
        check_pair("--tls-cert-file", self.tls_cert_file, "--tls-private-key-file", self.tls_private_key_file)

    @property
    def tls(self) -> TLS | None:
        if self.tls_cert_file is None or self.tls_private_key_file is None:
            return None
        return TLS(self.tls_cert_file, self.tls_private_key_file)

    def serve(self, app: Any) -> AbstractAsyncContextManager[Server | None]:
        """Serve the application with these flags while the block runs; see ``serve``."""
        return serve(app, self.bind_address, self.secure_port, self.tls)


@asynccontextmanager
async def serve(app: Any, bind_address: IPAddress, port: int, tls: TLS | None = None) -> AsyncIterator[Server | None]:
    """Serve the application while the block runs; if the port is 0, do nothing and yield None.

    Raises:
        OSError: the address is in use, or is not an address of this machine.
    """
    if not port:
        yield None
        return
    async with Server(app, [(str(bind_address), port)], tls=tls) as server:
        yield server
