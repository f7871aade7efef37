"""Certificate signing requests as tests need them."""

import base64
from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from apimachinery.types.meta_v1 import ObjectMeta

CLIENT = ("digital signature", "client auth")
SERVER = ("digital signature", "server auth")


def pkcs10(
    common_name: str,
    organizations: Sequence[str] = (),
    names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    more: Sequence[x509.GeneralName] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> str:
    """A request as ``spec.request`` holds it; by default of a new key."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    subject += [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    alternatives = [*map(x509.DNSName, names), *(x509.IPAddress(ip_address(text)) for text in addresses), *more]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    csr = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


def signing_request(
    name: str, request: str, signer: str, usages: Sequence[str], username: str = "", groups: Sequence[str] = ()
) -> CertificateSigningRequest:
    """The object; what the server fills in (the user) is given here where no server is asked."""
    return CertificateSigningRequest(
        metadata=ObjectMeta(name=name),
        spec=CertificateSigningRequestSpec(
            request=request, signer_name=signer, usages=[*usages], username=username or None, groups=[*groups] or None
        ),
    )
