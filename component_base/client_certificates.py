"""Who a client is, by the certificate that its TLS handshake verified against the client CA.

The handshake checks that a certificate is valid then. A connection lives for days, and a session that is resumed is
not verified anew, so whoever trusts the certificate asks for each request whether it is valid ``at`` that moment.
"""

import ssl
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a verified certificate says of its owner."""

    common_name: str
    """The last one of several, as in Go's ``pkix.Name``; "" if the subject has none, which names nobody."""
    organizations: tuple[str, ...]
    der: bytes
    not_before: float
    """Seconds since the epoch."""
    not_after: float

    def valid_at(self, now: float) -> bool:
        return self.not_before <= now <= self.not_after


def client_certificate(ssl_object: Any) -> ClientCertificate | None:
    """The peer's certificate, or None if it presented none."""
    certificate = ssl_object.getpeercert() if ssl_object is not None else None
    if not certificate:
        return None
    return ClientCertificate(
        common_name_of(certificate),
        tuple(names_of(certificate, "organizationName")),
        ssl_object.getpeercert(binary_form=True),
        ssl.cert_time_to_seconds(certificate["notBefore"]),
        ssl.cert_time_to_seconds(certificate["notAfter"]),
    )


def common_name_of(certificate: dict[str, Any]) -> str:
    """The last common name in the subject of a certificate as ``getpeercert`` decodes it; "" if there is none."""
    return (names_of(certificate, "commonName") or [""])[-1]


def names_of(certificate: dict[str, Any], kind: str) -> list[str]:
    """The names of one kind in the subject, in their order."""
    return [value for relative_name in certificate.get("subject", ()) for name, value in relative_name if name == kind]
