"""The lab's certificates, keys and token, and the key that encrypts secrets in etcd.

Three authorities exist as long as the lab's state: the cluster's; etcd's own, so that no identity of the cluster opens
etcd; and one for the kubelets' serving certificates, so that nothing else is taken for a kubelet. A certificate is
issued again when it is missing, expires soon, was signed by another authority, or has the wrong names; otherwise it
stays, so that a second ``make up`` changes nothing. Private keys are readable only by their owner.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.lab.addresses import CLUSTER_DOMAIN, SERVICE_RANGE
from deploy.lab.lab import Lab

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)

CLUSTER_CA, ETCD_CA, KUBELET_CA = "ca", "etcd-ca", "kubelet-ca"
"""The authorities, by the name of their files."""


@dataclass(frozen=True)
class Request:
    """The required content of a certificate."""

    file: str
    """The name of its files, without ``.crt`` and ``.key``."""
    name: str
    organization: str = ""
    hosts: tuple[str, ...] = ()
    """Host names and addresses of a server; without any it is a client certificate."""
    authority: str = CLUSTER_CA
    is_also_client: bool = False
    """Whether the server uses it for connections of its own as well, as the members of an etcd cluster do."""

    @property
    def subject(self) -> x509.Name:
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, self.name)]
        if self.organization:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organization))
        return x509.Name(attributes)


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def requests(lab: Lab) -> list[Request]:
    """Every certificate of the lab."""
    kubernetes = "kubernetes.default.svc"
    first_service = str(SERVICE_RANGE[1])
    requests = [
        Request(
            "apiserver",
            "kube-apiserver",
            hosts=(
                "kubernetes",
                "kubernetes.default",
                kubernetes,
                f"{kubernetes}.{CLUSTER_DOMAIN}",
                "localhost",
                str(lab.addresses.master),
                str(lab.addresses.host),
                first_service,
                "127.0.0.1",
            ),
        ),
        Request("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
        Request("admin", "kubernetes-admin", "system:masters"),
        Request("kube-scheduler", "system:kube-scheduler"),
        Request("kube-controller-manager", "system:kube-controller-manager"),
        Request("kube-proxy", "system:kube-proxy"),
        Request("kube-dns", "system:kube-dns"),
        Request(
            "etcd",
            "etcd-master",
            hosts=("localhost", "127.0.0.1"),
            authority=ETCD_CA,
            is_also_client=True,
        ),
        Request("apiserver-etcd-client", "kube-apiserver-etcd-client", authority=ETCD_CA),
    ]
    for node in lab.nodes:
        identity = f"system:node:{node}"
        requests += [
            Request(f"kubelet-client-{node}", identity, "system:nodes"),
            Request(
                f"kubelet-{node}",
                identity,
                "system:nodes",
                hosts=(node, lab.node_address(node), "localhost", "127.0.0.1"),
                authority=KUBELET_CA,
            ),
        ]
    return requests


def ensure(lab: Lab) -> list[str]:
    """Issue what is missing or outdated. Returns the names of the new files. Safe to repeat."""
    lab.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = datetime.now(UTC)
    authorities, renewed = dict[str, Authority](), list[str]()
    for name in (CLUSTER_CA, ETCD_CA, KUBELET_CA):
        authorities[name], is_new = _ensure_authority(lab, name, now)
        renewed += [name] if is_new else []
    for request in requests(lab):
        authority = authorities[request.authority]
        if _reason_on_disk(lab, request, authority.certificate, now):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = sign(request, key.public_key(), authority, now)
            write_key(lab.pki / f"{request.file}.key", key)
            _write(lab.pki / f"{request.file}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
            renewed.append(request.file)
    return renewed + _ensure_service_account_key(lab) + _ensure_token(lab) + _ensure_encryption(lab)


def _ensure_authority(lab: Lab, name: str, now: datetime) -> tuple[Authority, bool]:
    """The authority of that name, and whether it is a new one."""
    path, key_path = lab.pki / f"{name}.crt", lab.pki / f"{name}.key"
    if path.exists() and key_path.exists():
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        if certificate.not_valid_after_utc - now > RENEW_BEFORE and isinstance(key, ec.EllipticCurvePrivateKey):
            return Authority(certificate, key), False
    authority = new_authority(f"peapod {lab.name} {name}" if name != CLUSTER_CA else f"peapod {lab.name}", now)
    write_key(key_path, authority.key)
    _write(path, authority.certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return authority, True


def new_authority(name: str, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def sign(
    request: Request, public_key: ec.EllipticCurvePublicKey, authority: Authority, now: datetime
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=False,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] if request.hosts else []
    if request.is_also_client or not request.hosts:
        purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    issuer = authority.certificate
    builder = (
        _builder(request.subject, issuer.subject, public_key, now, LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if request.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in request.hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def reason_to_renew(
    certificate: x509.Certificate, request: Request, authority: x509.Certificate, now: datetime
) -> str | None:
    """Why a certificate does not meet the request (any more); None if it does."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "another authority signed it"
    if certificate.not_valid_after_utc - now < RENEW_BEFORE:
        return f"it expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if certificate.subject != request.subject:
        return "it has another subject"
    if names_in(certificate) != set(request.hosts):
        return "it names other hosts"
    return None


def names_in(certificate: x509.Certificate) -> set[str]:
    """The host names and addresses of a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def _reason_on_disk(lab: Lab, request: Request, authority: x509.Certificate, now: datetime) -> str | None:
    path, key_path = lab.pki / f"{request.file}.crt", lab.pki / f"{request.file}.key"
    if not path.exists() or not key_path.exists():
        return "it is missing"
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    if key.public_key() != certificate.public_key():
        return "its key does not match"
    return reason_to_renew(certificate, request, authority, now)


def _ensure_service_account_key(lab: Lab) -> list[str]:
    """The key pair for tokens of service accounts. RSA, since every client library supports RS256."""
    private, public = lab.pki / "sa.key", lab.pki / "sa.pub"
    if private.exists() and public.exists():
        return []
    write_service_account_keys(private, public)
    return ["sa"]


def write_service_account_keys(private: Path, public: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write_key(private, key)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(public, pem, 0o644)


def _ensure_token(lab: Lab) -> list[str]:
    """The user's bearer token, and the apiserver's token file."""
    table = lab.pki / "tokens.csv"
    if not lab.token.exists():
        _write(lab.token, (secrets.token_hex(16) + "\n").encode(), 0o600)
    row = f'{lab.token.read_text().strip()},kubernetes-admin,kubernetes-admin,"system:masters"\n'.encode()
    if table.exists() and table.read_bytes() == row:
        return []
    _write(table, row, 0o600)
    return ["token"]


def _ensure_encryption(lab: Lab) -> list[str]:
    """The configuration with which etcd holds secrets encrypted. Without its key they are lost, so it is made once."""
    path = lab.pki / "encryption.yaml"
    if path.exists():
        return []
    key = {"name": "key1", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    configuration = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}]}],
    }
    _write(path, yaml.safe_dump(configuration, sort_keys=False).encode(), 0o600)
    return ["encryption"]


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file atomically; it never exists with other permissions than ``mode``."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    temporary.replace(path)
