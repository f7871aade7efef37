"""Which requests Kubernetes' signers accept, and where a request stands."""

import base64

import pytest
from cryptography import x509

from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import APISERVER_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN
from apimachinery.types.certificates_v1 import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestStatus,
)
from tests.requests_for_certificates import CLIENT, SERVER, pkcs10

NODE, NODES = "system:node:a", ("system:nodes",)
MAIL, URI = x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("spiffe://a")

REFUSED = [
    (KUBELET_CLIENT, pkcs10(NODE, ("dev",)), CLIENT, "organization"),
    (KUBELET_CLIENT, pkcs10(NODE, ("system:nodes", "system:masters")), CLIENT, "organization"),
    (KUBELET_CLIENT, pkcs10("alice", NODES), CLIENT, "common name"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES), SERVER, "usages"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES), (*CLIENT, "server auth"), "usages"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES), ("client auth",), "usages"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES, names=["a"]), CLIENT, "DNS"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES, addresses=["10.0.0.1"]), CLIENT, "IP"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES, more=[MAIL]), CLIENT, "Email"),
    (KUBELET_CLIENT, pkcs10(NODE, NODES, more=[URI]), CLIENT, "URI"),
    (KUBELET_SERVING, pkcs10(NODE, NODES), SERVER, "required"),
    (KUBELET_SERVING, pkcs10(NODE, NODES, names=["a"], more=[MAIL]), SERVER, "Email"),
    (KUBELET_SERVING, pkcs10(NODE, NODES, names=["a"], more=[URI]), SERVER, "URI"),
    (KUBELET_SERVING, pkcs10(NODE, NODES, names=["a"]), CLIENT, "usages"),
    (KUBELET_SERVING, pkcs10("a", NODES, names=["a"]), SERVER, "common name"),
    (KUBELET_SERVING, pkcs10(NODE, (), names=["a"]), SERVER, "organization"),
    (APISERVER_CLIENT, pkcs10("alice"), ("digital signature",), "missing required usage"),
    (APISERVER_CLIENT, pkcs10("alice"), (*CLIENT, "server auth"), "invalid usage"),
    (APISERVER_CLIENT, pkcs10("alice"), (*CLIENT, "cert sign"), "invalid usage"),
]
ACCEPTED = [
    (KUBELET_CLIENT, pkcs10(NODE, NODES), CLIENT),
    (KUBELET_CLIENT, pkcs10(NODE, NODES), (*CLIENT, "key encipherment")),
    (KUBELET_SERVING, pkcs10(NODE, NODES, names=["a"], addresses=["10.0.0.1"]), SERVER),
    (KUBELET_SERVING, pkcs10(NODE, NODES, addresses=["fd00::1"]), (*SERVER, "key encipherment")),
    (APISERVER_CLIENT, pkcs10("alice", ("dev",), names=["a"]), ("client auth",)),
    (LEGACY_UNKNOWN, pkcs10("anything"), ("cert sign",)),
]


@pytest.mark.parametrize(("signer", "request_", "usages", "said"), REFUSED)
def test_a_signer_says_why_it_does_not_sign(signer: str, request_: str, usages: tuple[str, ...], said: str) -> None:
    assert said in (signing_requests.SIGNERS[signer](signing_requests.parse(request_), usages) or "")


@pytest.mark.parametrize(("signer", "request_", "usages"), ACCEPTED)
def test_a_signer_signs_what_is_its_own(signer: str, request_: str, usages: tuple[str, ...]) -> None:
    assert signing_requests.SIGNERS[signer](signing_requests.parse(request_), usages) is None


@pytest.mark.parametrize("text", ["", "!", base64.b64encode(b"junk").decode()])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CERTIFICATE REQUEST"):
        signing_requests.parse(text)


def test_a_denial_overrules_an_approval() -> None:
    def with_conditions(*types: str) -> CertificateSigningRequest:
        conditions = [CertificateSigningRequestCondition(type=type, status="True") for type in types]
        return CertificateSigningRequest(status=CertificateSigningRequestStatus(conditions=conditions))

    assert signing_requests.is_approved(with_conditions("Approved"))
    assert not signing_requests.is_approved(with_conditions("Approved", "Denied"))
    assert not signing_requests.is_decided(with_conditions("Failed"))
