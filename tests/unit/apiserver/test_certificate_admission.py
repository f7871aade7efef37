"""Who may decide on certificate signing requests, and what none of them may ask for."""

from typing import Any

import pytest

from apimachinery import codec, errors
from apimachinery.core.signing_requests import APISERVER_CLIENT, KUBELET_CLIENT
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from apiserver.admission import Plugin
from apiserver.admission.certificates import CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from apiserver.authorization import ALLOW, NO_OPINION, Decision, Rules
from apiserver.request import Attributes, User
from tests.requests_for_certificates import CLIENT, pkcs10, signing_request

ALICE = User("alice")
CSR = signing_request("csr", pkcs10("system:node:a", ("system:nodes",)), KUBELET_CLIENT, CLIENT)


class Allowing:
    """Allows one verb on signers of one name."""

    def __init__(self, verb: str, name: str) -> None:
        self._allowed = Attributes(
            ALICE, verb, "", group="certificates.k8s.io", version="*", resource="signers", name=name
        )

    async def decide(self, attributes: Attributes) -> Decision:
        return ALLOW if attributes == self._allowed else NO_OPINION

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules()


def asking(verb: str, subresource: str = "") -> Attributes:
    return Attributes(
        ALICE, verb, "", "certificates.k8s.io", "v1", "certificatesigningrequests", subresource, name="csr"
    )


def decided(type: str = "Approved", certificate: str | None = None) -> CertificateSigningRequest:
    csr = codec.copy(CSR)
    csr.status.conditions = [CertificateSigningRequestCondition(type=type, status="True")]
    csr.status.certificate = certificate
    return csr


async def refusal(plugin: Plugin[Any], attributes: Attributes, obj: Any, old: Any) -> str:
    try:
        await plugin.validate(attributes, obj, old)
    except errors.Forbidden as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    ("plugin", "verb", "subresource", "obj"),
    [
        (CertificateApproval, "approve", "approval", decided()),
        (CertificateApproval, "approve", "approval", decided("Denied")),
        (CertificateSigning, "sign", "status", decided("Failed")),
        (CertificateSigning, "sign", "status", decided(certificate="eA==")),
    ],
)
async def test_who_decides_must_be_allowed_to_for_the_signer_or_its_domain(
    plugin: type[CertificateApproval | CertificateSigning], verb: str, subresource: str, obj: CertificateSigningRequest
) -> None:
    attributes, other = asking("update", subresource), "sign" if verb == "approve" else "approve"
    for name in (KUBELET_CLIENT, "kubernetes.io/*"):
        assert not await refusal(plugin(Allowing(verb, name)), attributes, obj, CSR)
        assert f"not permitted to {verb}" in await refusal(plugin(Allowing(other, name)), attributes, obj, CSR)
    assert "not permitted" in await refusal(plugin(Allowing(verb, APISERVER_CLIENT)), attributes, obj, CSR)


async def test_other_writes_need_no_such_right() -> None:
    nobody = Allowing("nothing", "")
    assert not await refusal(CertificateApproval(nobody), asking("update", "status"), decided(), CSR)
    assert not await refusal(CertificateSigning(nobody), asking("update", "status"), codec.copy(CSR), CSR)
    assert not await refusal(CertificateSigning(nobody), asking("update"), decided(), CSR)
    assert not await refusal(CertificateApproval(nobody), asking("create"), CSR, None)


async def test_the_signer_in_the_stored_request_counts() -> None:
    renamed = decided()
    renamed.spec.signer_name = "example.com/mine"
    plugin = CertificateApproval(Allowing("approve", "example.com/mine"))
    assert "not permitted" in await refusal(plugin, asking("patch", "approval"), renamed, CSR)


async def test_nobody_requests_a_client_certificate_of_masters() -> None:
    plugin = CertificateSubjectRestriction()

    async def refused(signer: str, *organizations: str) -> bool:
        csr = signing_request("csr", pkcs10("alice", organizations), signer, CLIENT)
        return bool(await refusal(plugin, asking("create"), csr, None))

    assert await refused(APISERVER_CLIENT, "dev", "system:masters")
    assert not await refused(APISERVER_CLIENT, "dev")
    assert not await refused("example.com/mine", "system:masters")
