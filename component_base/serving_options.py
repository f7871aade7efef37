"""The flags of a daemon's server for health and metrics, and that server.

Each daemon has a subclass with its own port:

    @dataclass(frozen=True, kw_only=True)
    class SchedulerServing(ServingOptions):
        secure_port: int = secure_port(10259)

and serves with ``async with options.serving.serve(daemon_app(health), access):``.

What is served has TLS, and requests are checked; only on loopback, without a certificate, is it plain and open to all who
are on the machine.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from component_base.access import Access, Guarded
from component_base.credentials import CERTIFICATES, PRIVATE_KEY, check_pair
from component_base.flags import option
from component_base.serving import TLS, Server
from component_base.tls import self_signed
from component_base.values import PORT, IPAddress


def secure_port(default: int) -> Any:
    """The flag ``--secure-port``, with a daemon's own default."""
    return option(default, "Port for /healthz and /metrics; 0 for none.", type=PORT)


@dataclass(frozen=True, kw_only=True)
class CertificateOptions:
    """How what a daemon serves is protected."""

    tls_cert_file: Path | None = option(
        None,
        "Certificate to serve with. Without it, addresses other than loopback are served with one that the daemon "
        "signs itself, and loopback without TLS.",
        type=CERTIFICATES,
    )
    tls_private_key_file: Path | None = option(None, "Key of that certificate.", type=PRIVATE_KEY)
    client_ca_file: Path | None = option(
        None, "CA whose client certificates name users; others send a bearer token.", type=CERTIFICATES
    )

    def __post_init__(self) -> None:
        check_pair("--tls-cert-file", self.tls_cert_file, "--tls-private-key-file", self.tls_private_key_file)

    def server(self, app: Any, host: str, port: int, access: Access) -> Server:
        """A server of the application, whose requests are checked by ``access`` unless it is plain."""
        if self.tls_cert_file is not None and self.tls_private_key_file is not None:
            tls = TLS(self.tls_cert_file, self.tls_private_key_file, self.client_ca_file)
            return Server(Guarded(app, access), [(host, port)], tls=tls)
        if ip_address(host).is_loopback:
            return Server(app, [(host, port)])
        return Server(Guarded(app, access), [(host, port)], tls=self_signed(self.client_ca_file))


@dataclass(frozen=True, kw_only=True)
class ServingOptions(CertificateOptions):
    bind_address: IPAddress = option("0.0.0.0", "Address to serve /healthz and /metrics on; all by default.")
    secure_port: int = secure_port(0)

    @asynccontextmanager
    async def serve(self, app: Any, access: Access) -> AsyncIterator[Server | None]:
        """Serve the application while the block runs; if the port is 0, do nothing and yield None.

        Raises:
            OSError: the address is in use, or is not an address of this machine.
        """
        if not self.secure_port:
            yield None
            return
        async with self.server(app, str(self.bind_address), self.secure_port, access) as server:
            yield server
