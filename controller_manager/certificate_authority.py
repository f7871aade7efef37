"""Signs certificates with an authority's key, as Kubernetes' signers do (pkg/controller/certificates/authority).

The authority's files may be replaced while we run: they are read again when they have changed.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from apimachinery.core.signing_requests import Requested

log = logging.getLogger(__name__)

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

BACKDATE: Final = timedelta(minutes=5)
"""By how much a certificate is valid before it is signed, for clocks that are behind."""
SHORT: Final = timedelta(hours=8)
"""Certificates that live shorter get their whole life from now on."""
SHORTEST: Final = timedelta(minutes=10)

_KEY_USAGES: Final[Mapping[str, str]] = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_PURPOSES: Final[Mapping[str, x509.ObjectIdentifier]] = {
    "any": Purpose.ANY_EXTENDED_KEY_USAGE,
    "server auth": Purpose.SERVER_AUTH,
    "client auth": Purpose.CLIENT_AUTH,
    "code signing": Purpose.CODE_SIGNING,
    "email protection": Purpose.EMAIL_PROTECTION,
    "s/mime": Purpose.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Purpose.TIME_STAMPING,
    "ocsp signing": Purpose.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class SigningError(Exception):
    """The authority cannot sign now; the message says why."""


class CertificateAuthority:
    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Raises ``SigningError`` if the files hold no authority."""
        self._files = (certificate_file, key_file)
        self._versions = self._read_versions()
        self._certificate, self._key = _load(*self._files)

    @property
    def certificate(self) -> x509.Certificate:
        """The current one."""
        if (versions := self._read_versions()) != self._versions:
            try:
                self._certificate, self._key = _load(*self._files)
            except SigningError as exc:
                log.warning("%s has changed, but is not used: %s", self._files[0], exc)
            else:
                self._versions = versions
        return self._certificate

    def sign(self, requested: Requested, usages: Collection[str], life: timedelta, now: datetime) -> bytes:
        """A certificate in PEM.

        Raises:
            SigningError: the authority has expired.
        """
        issuer = self.certificate
        last = issuer.not_valid_after_utc
        if now >= last:
            raise SigningError(f"the signer has expired: {last:%Y-%m-%d %H:%M:%S} UTC")
        end = now + life if life < SHORT else now + life - BACKDATE
        builder = (
            x509.CertificateBuilder()
            .serial_number(x509.random_serial_number())
            .issuer_name(issuer.subject)
            .subject_name(requested.csr.subject)
            .public_key(requested.csr.public_key())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(end, last))
        )
        for extension, is_critical in _extensions(requested, usages, issuer):
            builder = builder.add_extension(extension, is_critical)
        without_hash = isinstance(self._key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        certificate = builder.sign(self._key, None if without_hash else hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _read_versions(self) -> tuple[object, ...]:
        try:
            return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in self._files))
        except OSError:
            return ()


def life(expiration_seconds: int | None, longest: timedelta) -> timedelta:
    """How long a certificate lives: what was asked for, within bounds."""
    if expiration_seconds is None:
        return longest
    return min(longest, max(SHORTEST, timedelta(seconds=expiration_seconds)))


def _load(certificate_file: Path, key_file: Path) -> tuple[x509.Certificate, SigningKey]:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise SigningError(f"{certificate_file} and {key_file} cannot be read: {type(exc).__name__}") from exc
    if not isinstance(key, SigningKey):
        raise SigningError(f"{key_file}: a key of this kind signs nothing")
    if key.public_key() != certificate.public_key():
        raise SigningError(f"{key_file} is not the key of {certificate_file}")
    return certificate, key


def _extensions(
    requested: Requested, usages: Collection[str], issuer: x509.Certificate
) -> list[tuple[x509.ExtensionType, bool]]:
    """With each, whether it is critical."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_authority_key(issuer), False),
    ]
    if bits := {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}:
        extensions.append((_key_usage(bits), True))
    if purposes := [*dict.fromkeys(_PURPOSES[usage] for usage in usages if usage in _PURPOSES)]:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    names: list[x509.GeneralName] = [
        *map(x509.DNSName, requested.dns_names),
        *map(x509.RFC822Name, requested.emails),
        *(x509.IPAddress(ip_address(address)) for address in requested.addresses),
        *map(x509.UniformResourceIdentifier, requested.uris),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    return extensions


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(bits: Collection[str]) -> x509.KeyUsage:
    agreed = "key_agreement" in bits  # without it the two narrower ones mean nothing
    flags = {name: name in bits for name in _KEY_USAGES.values()}
    flags["encipher_only"], flags["decipher_only"] = (
        agreed and flags["encipher_only"],
        agreed and flags["decipher_only"],
    )
    return x509.KeyUsage(**flags)
