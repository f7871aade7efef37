"""Users whom an authenticating proxy in front of this server names in headers (Kubernetes' request headers).

The proxy shows a client certificate of an authority of its own; who has one is believed whatever user it names. So it has
to be told which authority vouches for a certificate: those of the proxies name nobody else, and headers that come with any
other certificate, or none, mean nothing. A certificate must be signed by the authority itself, without one in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from apimachinery import errors
from apiserver.authentication.authenticators import ALL_AUTHENTICATED, Credentials
from apiserver.request import User

_REMEMBERED: Final = 1024


class Authorities:
    """The authorities of a file. Raises ValueError if it holds none."""

    def __init__(self, file: Path) -> None:
        self._certificates = x509.load_pem_x509_certificates(file.read_bytes())
        self._known: dict[bytes, bool] = {}

    def vouch_for(self, der: bytes) -> bool:
        """Whether one of them has signed a certificate, of which the TLS handshake has verified all else."""
        answer = self._known.get(der)
        if answer is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            certificate = x509.load_der_x509_certificate(der)
            answer = self._known[der] = any(_has_signed(issuer, certificate) for issuer in self._certificates)
        return answer


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@dataclass(frozen=True)
class RequestHeaders:
    """Which headers say what; names in lower case."""

    users: Sequence[str] = ("x-remote-user",)
    groups: Sequence[str] = ("x-remote-group",)
    extra_prefixes: Sequence[str] = ("x-remote-extra-",)

    @property
    def prefixes(self) -> tuple[bytes, ...]:
        return tuple(name.encode() for name in (*self.users, *self.groups, *self.extra_prefixes))


class FrontProxy:
    """
    Args:
        names: common names of the proxies' certificates; empty for any.
    """

    def __init__(self, authorities: Authorities, names: Sequence[str], headers: RequestHeaders) -> None:
        self._authorities, self._names, self._headers = authorities, frozenset(names), headers

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user that a proxy names; None where it is no proxy, or names nobody. Raises Unauthorized."""
        certificate = credentials.extensions.get("tls", {}).get("client_certificate")
        if certificate is None or not self._authorities.vouch_for(certificate.der):
            return None
        if self._names and certificate.common_name not in self._names:
            raise errors.Unauthorized("Unauthorized")
        values = credentials.all_headers
        name = next((values[header][0] for header in self._headers.users if header in values), "")
        if not name:
            return None
        groups = [group for header in self._headers.groups for group in values.get(header, ())]
        return User(name, groups=(*groups, ALL_AUTHENTICATED), extra=self._extra(values))

    def _extra(self, values: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        return {
            unquote(header.removeprefix(prefix)).lower(): tuple(texts)
            for header, texts in values.items()
            for prefix in self._headers.extra_prefixes
            if header.startswith(prefix)
        }
