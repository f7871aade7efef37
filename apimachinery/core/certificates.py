"""How long a certificate is valid, and when somebody should be warned that it ends. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from cryptography import x509

WARN_BEFORE: Final = timedelta(days=30)
_SHARE: Final = 0.1
"""Of its life that is left when a short-lived certificate should long have been renewed."""


class Validity(NamedTuple):
    since: datetime
    until: datetime

    @property
    def warns_from(self) -> datetime:
        """30 days ahead, or less for certificates that live for less than 300."""
        return self.until - min(WARN_BEFORE, (self.until - self.since) * _SHARE)


class Certified(Protocol):
    """A client or server that has certificates."""

    @property
    def certificates(self) -> Mapping[Path, Validity]:
        """Those that it uses now, by the file that holds them."""
        ...


def validity(pem: bytes) -> Validity:
    """That of a file's first certificate, which is the one that is served or shown; raises ValueError without any."""
    certificate = x509.load_pem_x509_certificates(pem)[0]
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def warnings(certificates: Mapping[Path, Validity], now: datetime) -> Iterator[tuple[str, str]]:
    """Reasons and messages of events about those that have expired, or soon will."""
    for file, valid in certificates.items():
        until = f"{valid.until:%Y-%m-%d %H:%M} UTC"
        if now >= valid.until:
            yield "CertificateExpired", f"The certificate in {file} expired on {until}."
        elif now >= valid.warns_from:
            yield "CertificateExpiring", f"The certificate in {file} expires on {until}; renew it before."
