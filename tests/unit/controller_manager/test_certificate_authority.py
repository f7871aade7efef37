"""What certificates look like that the signers sign."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from apimachinery.core import signing_requests
from controller_manager.certificate_authority import BACKDATE, CertificateAuthority, SigningError, life
from deploy.lab.certificates import new_authority, write_key
from tests.requests_for_certificates import pkcs10

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


def write_authority(folder: Path, name: str = "ca", made: datetime = NOW) -> CertificateAuthority:
    """In files of these names, which are replaced."""
    authority = new_authority(name, made)
    write_key(folder / "ca.key", authority.key)
    pem = authority.certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.new").write_bytes(pem)
    (folder / "ca.new").rename(folder / "ca.crt")
    return CertificateAuthority(folder / "ca.crt", folder / "ca.key")


def sign(authority: CertificateAuthority, lives: timedelta, *usages: str, **request: object) -> x509.Certificate:
    requested = signing_requests.parse(pkcs10("alice", ("dev",), **request))  # type: ignore[arg-type]
    return x509.load_pem_x509_certificate(authority.sign(requested, usages, lives, NOW))


def test_a_certificate_has_what_was_requested_and_no_more(tmp_path: Path) -> None:
    authority = write_authority(tmp_path)
    directory = x509.DirectoryName(x509.Name([]))
    certificate = sign(
        authority, YEAR, "digital signature", "client auth", "server auth",
        names=["a.example"], addresses=["10.0.0.1"], more=[directory],
    )  # fmt: skip
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=alice,O=dev"
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [*names] == [x509.DNSName("a.example"), x509.IPAddress(ip_address("10.0.0.1"))]
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [*purposes] == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_short_life_counts_from_now_and_a_long_one_from_the_backdate(tmp_path: Path) -> None:
    authority = write_authority(tmp_path)
    short, long = sign(authority, HOUR, "client auth"), sign(authority, YEAR, "client auth")
    assert short.not_valid_before_utc == long.not_valid_before_utc == NOW - BACKDATE
    assert (short.not_valid_after_utc, long.not_valid_after_utc) == (NOW + HOUR, NOW + YEAR - BACKDATE)


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    authority = write_authority(tmp_path, made=NOW - timedelta(days=3649))
    assert sign(authority, YEAR, "client auth").not_valid_after_utc == authority.certificate.not_valid_after_utc
    expired = write_authority(tmp_path, made=NOW - timedelta(days=3651))
    with pytest.raises(SigningError, match="expired"):
        sign(expired, YEAR, "client auth")


def test_a_replaced_authority_signs_from_then_on(tmp_path: Path) -> None:
    authority = write_authority(tmp_path, "before")
    write_authority(tmp_path, "after")
    assert sign(authority, HOUR, "client auth").issuer.rfc4514_string() == "CN=after"
    (tmp_path / "ca.key").write_text("junk")
    assert sign(authority, HOUR, "client auth").issuer.rfc4514_string() == "CN=after"


@pytest.mark.parametrize(
    ("requested", "lives"), [(None, YEAR), (3600, HOUR), (1, timedelta(minutes=10)), (10**9, YEAR)]
)
def test_a_certificate_lives_as_long_as_was_asked_for_within_bounds(requested: int | None, lives: timedelta) -> None:
    assert life(requested, YEAR) == lives
