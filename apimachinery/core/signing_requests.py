"""What a certificate signing request asks for, where it stands, and which requests Kubernetes' signers accept. Pure.

The rules are those of pkg/apis/certificates/helpers.go and pkg/controller/certificates/signer; see also
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from apimachinery.core.well_known import NODE_USER_PREFIX as NODE_USER_PREFIX
from apimachinery.core.well_known import NODES_GROUP as NODES_GROUP
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition

APISERVER_CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN: Final = "kubernetes.io/legacy-unknown"

APPROVED: Final = "Approved"
DENIED: Final = "Denied"
FAILED: Final = "Failed"

CLIENT_USAGES: Final = ("digital signature", "client auth")
SERVER_USAGES: Final = ("digital signature", "server auth")
_KEY_ENCIPHERMENT: Final = "key encipherment"
"""Optional, for RSA keys."""


def node_user(node: str) -> str:
    """The user as whom a node's kubelet acts."""
    return NODE_USER_PREFIX + node


@dataclass(frozen=True)
class Requested:
    """The content of a PKCS #10 request."""

    csr: x509.CertificateSigningRequest
    common_name: str
    """The last one, as in Go."""
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def parse(request: str) -> Requested:
    """The request in ``spec.request`` (base64 of PEM).

    Raises:
        ValueError: it is none.
    """
    try:
        csr = x509.load_pem_x509_csr(base64.b64decode(request, validate=True))
        csr.public_key()
        names = _alternative_names(csr)
        common_names = _attributes(csr, NameOID.COMMON_NAME)
        return Requested(
            csr,
            common_names[-1] if common_names else "",
            _attributes(csr, NameOID.ORGANIZATION_NAME),
            tuple(names.get_values_for_type(x509.DNSName)) if names else (),
            tuple(map(str, names.get_values_for_type(x509.IPAddress))) if names else (),
            tuple(names.get_values_for_type(x509.RFC822Name)) if names else (),
            tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        )
    except (binascii.Error, ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST") from None


def _attributes(csr: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = (attribute.value for attribute in csr.subject.get_attributes_for_oid(oid))
    return tuple(value if isinstance(value, str) else value.decode("latin-1") for value in values)


def _alternative_names(csr: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def condition(csr: CertificateSigningRequest, type: str) -> CertificateSigningRequestCondition | None:
    return next((condition for condition in csr.status.conditions or () if condition.type == type), None)


def is_approved(csr: CertificateSigningRequest) -> bool:
    """A denial overrules an approval."""
    return condition(csr, APPROVED) is not None and condition(csr, DENIED) is None


def is_decided(csr: CertificateSigningRequest) -> bool:
    return condition(csr, APPROVED) is not None or condition(csr, DENIED) is not None


def kubelet_client_fault(requested: Requested, usages: Sequence[str]) -> str | None:
    """Why a kubelet gets no such client certificate; None if it may."""
    if requested.organizations != (NODES_GROUP,):
        return f"subject organization is not {NODES_GROUP}"
    for kind, names in (
        ("DNS", requested.dns_names),
        ("Email", requested.emails),
        ("IP", requested.addresses),
        ("URI", requested.uris),
    ):
        if names:
            return f"{kind} subjectAltNames are not allowed"
    return _node_name_fault(requested) or _usages_fault(usages, CLIENT_USAGES)


def kubelet_serving_fault(requested: Requested, usages: Sequence[str]) -> str | None:
    """Why a kubelet gets no such serving certificate; None if it may."""
    if requested.organizations != (NODES_GROUP,):
        return f"subject organization is not {NODES_GROUP}"
    if not requested.dns_names and not requested.addresses:
        return "DNS or IP subjectAltName is required"
    if requested.emails:
        return "Email subjectAltNames are not allowed"
    if requested.uris:
        return "URI subjectAltNames are not allowed"
    return _usages_fault(usages, SERVER_USAGES) or _node_name_fault(requested)


def _node_name_fault(requested: Requested) -> str | None:
    if not requested.common_name.startswith(NODE_USER_PREFIX):
        return f"subject common name does not begin with {NODE_USER_PREFIX}"
    return None


def _usages_fault(usages: Sequence[str], required: Collection[str]) -> str | None:
    if {*usages} in ({*required}, {*required, _KEY_ENCIPHERMENT}):
        return None
    return f"usages did not match {sorted({*required, _KEY_ENCIPHERMENT})}"


def apiserver_client_fault(requested: Requested, usages: Sequence[str]) -> str | None:
    for usage in usages:
        if usage not in (*CLIENT_USAGES, _KEY_ENCIPHERMENT):
            return f"invalid usage for client certificate: {usage}"
    if "client auth" not in usages:
        return "missing required usage for client certificate: client auth"
    return None


SIGNERS: Final[Mapping[str, Callable[[Requested, Sequence[str]], str | None]]] = {
    KUBELET_CLIENT: kubelet_client_fault,
    KUBELET_SERVING: kubelet_serving_fault,
    APISERVER_CLIENT: apiserver_client_fault,
    LEGACY_UNKNOWN: lambda requested, usages: None,
}
"""Kubernetes' own signers, with what tells why a request is not theirs to sign."""
