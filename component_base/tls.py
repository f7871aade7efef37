"""The certificate, key and client CA of a TLS server: files that others renew while the server runs.

A context is made from them once and never changed. When a file has changed there is a new one, so that new connections
see the new certificate and are verified by the new CA, without resuming what the old one vouched for.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apimachinery.core.certificates import Validity, validity
from component_base.metrics import Gauge

log = logging.getLogger(__name__)

_EXPIRATION: Final = Gauge(
    "serving_certificate_expiration_timestamp_seconds",
    "When a certificate that is served, or verifies clients, expires, in seconds since 1970.",
    ("file",),
)


@dataclass(frozen=True)
class TLS:
    """Files of a TLS server. With ``client_ca_file`` clients may present a certificate."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


def ssl_context(tls: TLS) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and newer. Raises OSError if a file cannot be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # enough to resume a session; more would make every handshake slower
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class RenewedContext:
    """The context that the files make at the moment."""

    def __init__(self, tls: TLS) -> None:
        """Raises OSError if a file cannot be loaded."""
        self._tls = tls
        self._versions = self._read_versions()  # before the files: what changes meanwhile is loaded again
        self.context = ssl_context(tls)
        self.certificates: dict[Path, Validity] = {}
        """How long the first certificate of each file is valid."""
        self._note_validity()

    def renew(self) -> bool:
        """Make a new context if a file has changed; what cannot be loaded may be half written, and is tried again."""
        versions = self._read_versions()
        if versions == self._versions:
            return False
        try:
            self.context = ssl_context(self._tls)
            self._note_validity()
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            log.warning("%s: changed, but cannot be loaded: %s; will retry", self._tls.cert_file, exc)
            return False
        self._versions = versions
        log.info("%s: loaded again, expires %s", self._tls.cert_file, self.certificates[self._tls.cert_file].until)
        return True

    def _note_validity(self) -> None:
        for file in filter(None, (self._tls.cert_file, self._tls.client_ca_file)):
            valid = self.certificates[file] = validity(file.read_bytes())
            _EXPIRATION.set(valid.until.timestamp(), str(file))

    def _read_versions(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_version, filter(None, (self._tls.cert_file, self._tls.key_file, self._tls.client_ca_file))))


def _version(file: Path) -> tuple[int, int] | None:
    """Changes when the file does; None while it is not there."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
