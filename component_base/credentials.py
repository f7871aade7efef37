"""Flags that name certificates and keys. The files are checked with the flags, so no daemon starts with bad ones."""

import ssl
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from component_base.values import ValueType, parse_file


def parse_certificates(text: str) -> Path:
    """A file of one or more certificates as PEM."""
    path = parse_file(text)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError("the file holds no PEM certificate") from None
    return path


def parse_private_key(text: str) -> Path:
    """A file of one private key as PEM, without a password."""
    path = parse_file(text)
    try:
        serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the file holds no PEM private key without a password") from None
    return path


def parse_rsa_private_key(text: str) -> Path:
    """A file of one RSA private key: tokens of service accounts are signed with RS256."""
    path = parse_private_key(text)
    if not isinstance(serialization.load_pem_private_key(path.read_bytes(), password=None), rsa.RSAPrivateKey):
        raise ValueError("the key must be an RSA key")
    return path


def parse_rsa_public_key(text: str) -> Path:
    """A file of one RSA public key as PEM."""
    path = parse_file(text)
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the file holds no PEM public key") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the key must be an RSA key")
    return path


CERTIFICATES = ValueType(parse_certificates, str, "PATH")
PRIVATE_KEY = ValueType(parse_private_key, str, "PATH")
RSA_PRIVATE_KEY = ValueType(parse_rsa_private_key, str, "PATH")
RSA_PUBLIC_KEY = ValueType(parse_rsa_public_key, str, "PATH")


def check_pair(certificate_flag: str, certificate: Path | None, key_flag: str, key: Path | None) -> None:
    """For ``__post_init__``: check that a certificate and its key are both given, or neither, and that they match.

    Raises:
        ValueError: otherwise; the message names both flags.
    """
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise ValueError(f"{certificate_flag} and {key_flag} go together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError:
        raise ValueError(f"{key_flag}: {key} is not the key of {certificate_flag} {certificate}") from None
