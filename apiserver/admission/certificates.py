"""Certificate signing requests: who requested them is written in, and who decides on them must be allowed to.

``approve`` and ``sign`` are verbs of the virtual resource ``signers``; a right to ``example.com/*`` is one to every signer
of that domain. The plugins are Kubernetes' CertificateApproval, CertificateSigning and CertificateSubjectRestriction.
"""

from typing import Final

from apimachinery import errors, meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import APISERVER_CLIENT
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apiserver.admission import Plugin
from apiserver.authorization import MASTERS, Authorizer
from apiserver.request import Attributes

_GROUP: Final = "certificates.k8s.io"


class SigningRequestor(Plugin[CertificateSigningRequest]):
    """Writes the user of the request into the spec."""

    types = (CertificateSigningRequest,)

    async def admit(
        self, attributes: Attributes, obj: CertificateSigningRequest, old: CertificateSigningRequest | None
    ) -> None:
        if attributes.verb != "create":
            return
        user, spec = attributes.user, obj.spec
        spec.username, spec.uid = user.name, user.uid or None
        spec.groups = list(user.groups) or None
        spec.extra = {key: list(values) for key, values in user.extra.items()} or None


class _OfSigner(Plugin[CertificateSigningRequest]):
    types = (CertificateSigningRequest,)
    verb: str

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def _must_be_allowed(self, attributes: Attributes, csr: CertificateSigningRequest) -> None:
        """Raises Forbidden."""
        signer = csr.spec.signer_name
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            asked = Attributes(attributes.user, self.verb, "", group=_GROUP, version="*", resource="signers", name=name)
            if (await self._authorizer.decide(asked)).allows:
                return
        raise _forbidden(attributes, csr, f'user not permitted to {self.verb} requests with signerName "{signer}"')


class CertificateApproval(_OfSigner):
    """Who approves or denies needs the right to ``approve`` for the signer."""

    verb = "approve"

    async def validate(
        self, attributes: Attributes, obj: CertificateSigningRequest, old: CertificateSigningRequest | None
    ) -> None:
        if old is not None and attributes.subresource == "approval":
            await self._must_be_allowed(attributes, old)


class CertificateSigning(_OfSigner):
    """Who issues a certificate, or says that a request failed, needs the right to ``sign`` for the signer."""

    verb = "sign"

    async def validate(
        self, attributes: Attributes, obj: CertificateSigningRequest, old: CertificateSigningRequest | None
    ) -> None:
        if old is None or attributes.subresource != "status":
            return
        before, after = old.status, obj.status
        if before.certificate != after.certificate or (before.conditions or []) != (after.conditions or []):
            await self._must_be_allowed(attributes, old)


class CertificateSubjectRestriction(Plugin[CertificateSigningRequest]):
    """Nobody gets a client certificate of system:masters by a request: it could not be taken away from them."""

    types = (CertificateSigningRequest,)

    async def validate(
        self, attributes: Attributes, obj: CertificateSigningRequest, old: CertificateSigningRequest | None
    ) -> None:
        if attributes.verb != "create" or obj.spec.signer_name != APISERVER_CLIENT:
            return
        try:
            requested = signing_requests.parse(obj.spec.request)
        except ValueError as exc:
            raise _forbidden(attributes, obj, f"failed to parse CSR: {exc}") from exc
        if MASTERS in requested.organizations:
            raise _forbidden(attributes, obj, f"use of {APISERVER_CLIENT} signer with {MASTERS} group is not allowed")


def _forbidden(attributes: Attributes, csr: CertificateSigningRequest, why: str) -> errors.Forbidden:
    return errors.forbidden(attributes.resource, attributes.group, meta.name_of(csr), why)
