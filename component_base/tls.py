"""Certificates, keys and authorities in files that others renew while we run.

A context is made from them once and never changed. When a file has changed there is a new one, so that new connections
see the new certificate and are verified by the new authority, without resuming what the old one vouched for.
"""

import logging
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from apimachinery.core.certificates import Validity, validity
from component_base.metrics import Gauge

log = logging.getLogger(__name__)

CHECK_FILES: Final = 10.0
"""Seconds between looks at the files."""

_EXPIRATION: Final = Gauge(
    "tls_certificate_expiration_timestamp_seconds",
    "When a certificate that this process serves with, connects with or trusts expires, in seconds since 1970.",
    ("file",),
)


Version = tuple[int, int] | None
"""Changes when a file does; None while it is not there."""


class Files(Protocol):
    """Files of which a context is made."""

    @property
    def cert_file(self) -> Path: ...

    @property
    def key_file(self) -> Path: ...

    @property
    def authority_file(self) -> Path | None: ...

    def context(self) -> ssl.SSLContext:
        """Raises OSError if a file cannot be loaded."""
        ...


@dataclass(frozen=True)
class TLS:
    """Files of a TLS server. With ``client_ca_file`` clients may present a certificate; ``proxy_ca_file`` is another
    authority of these."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    proxy_ca_file: Path | None = None

    @property
    def authority_file(self) -> Path | None:
        return self.client_ca_file

    def context(self) -> ssl.SSLContext:
        return ssl_context(self)


@dataclass(frozen=True)
class ClientTLS:
    """Files of a TLS client; without ``authority_file`` it trusts the machine's authorities."""

    cert_file: Path
    key_file: Path
    authority_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


def ssl_context(tls: TLS) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and newer. Raises OSError if a file cannot be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # enough to resume a session; more would make every handshake slower
    for authority in filter(None, (tls.client_ca_file, tls.proxy_ca_file)):
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class RenewedContext:
    """The context that the files make at the moment."""

    def __init__(self, files: Files) -> None:
        """Raises OSError if a file cannot be loaded."""
        self._files = files
        self._versions = self._read_versions()  # before the files: what changes meanwhile is loaded again
        self._checked = time.monotonic()
        self.context = files.context()
        self.certificates: dict[Path, Validity] = {}
        """How long the first certificate of each file is valid."""
        self._note_validity()

    def current(self) -> ssl.SSLContext:
        """For one more connection; the files are looked at if that has not happened for a while."""
        if time.monotonic() - self._checked >= CHECK_FILES:
            self.renew()
        return self.context

    def renew(self) -> bool:
        """Make a new context if a file has changed; what cannot be loaded may be half written, and is tried again."""
        self._checked, versions = time.monotonic(), self._read_versions()
        if versions == self._versions:
            return False
        file = self._files.cert_file
        try:
            self.context = self._files.context()
            self._note_validity()
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            log.warning("%s: changed, but cannot be loaded: %s; will retry", file, exc)
            return False
        self._versions = versions
        log.info("%s: loaded again, valid until %s", file, self.certificates[file].until)
        return True

    def _note_validity(self) -> None:
        for file in filter(None, (self._files.cert_file, self._files.authority_file)):
            valid = self.certificates[file] = validity(file.read_bytes())
            _EXPIRATION.set(valid.until.timestamp(), str(file))

    def _read_versions(self) -> tuple[Version, ...]:
        files = (self._files.cert_file, self._files.key_file, self._files.authority_file)
        return tuple(map(version_of, filter(None, files)))


def version_of(file: Path) -> Version:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def self_signed(client_ca_file: Path | None) -> ssl.SSLContext:
    """A server's context with a certificate that nobody vouches for: it hides what is said, and proves nothing.

    It lives as long as the process, for a year at most.
    """
    # only for those who need it: the library takes 6 MB
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, socket.gethostname()[:64])])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    with TemporaryDirectory() as folder:  # OpenSSL loads from files alone
        file = Path(folder) / "pair.pem"
        file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        return ssl_context(TLS(file, file, client_ca_file))
