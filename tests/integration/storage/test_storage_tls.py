"""Etcd over TLS with certificates on both sides."""

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.storage import Etcd, EtcdConfig
from apiserver.storage.etcd.errors import Unavailable
from tests.integration.conftest import EtcdServer


def make_certificates(directory: Path) -> None:
    """A CA, and one certificate for 127.0.0.1 that serves both sides."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), ca_key, x509.BasicConstraints(ca=True, path_length=None))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = _certificate(name, ca_name, key.public_key(), ca_key, address)
    encoding = serialization.Encoding.PEM
    (directory / "ca.crt").write_bytes(ca.public_bytes(encoding))
    (directory / "etcd.crt").write_bytes(cert.public_bytes(encoding))
    (directory / "etcd.key").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )


async def test_etcd_is_reached_over_tls_with_a_client_certificate_and_not_without(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    ca, cert, key = (str(tmp_path / name) for name in ("ca.crt", "etcd.crt", "etcd.key"))
    server = EtcdServer(
        tmp_path, f"--trusted-ca-file={ca}", f"--cert-file={cert}", f"--key-file={key}", "--client-cert-auth"
    )
    server.config = EtcdConfig((server.url.replace("http:", "https:"),), ca, cert, key)
    try:
        await server.start()
        client = Etcd(server.config)
        assert await client.revision() >= 1
        await client.close()
        nobody = Etcd(EtcdConfig(server.config.endpoints, ca, request_timeout=1, connect_timeout=1))
        with pytest.raises(Unavailable):
            await nobody.revision()
        await nobody.close()
    finally:
        server.kill()
