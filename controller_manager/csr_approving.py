"""Approves the requests of kubelets for client certificates, if the requestor may have such a certificate.

Whether it may is asked of the apiserver: ``create`` of ``certificatesigningrequests/selfnodeclient`` for a node's own
identity, ``/nodeclient`` for that of any node, which only joining nodes should have. Others are left to people.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import APPROVED, KUBELET_CLIENT, Requested
from apimachinery.meta import Key
from apimachinery.types.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from controller_manager.context import ControllerContext
from kube_client import Client, WorkQueue, process

log = logging.getLogger(__name__)

_SELF: Final = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
_ANY: Final = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")


class ApprovingController:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._reviews_api = context.client.resource(SubjectAccessReview)
        self._requests = context.informer(CertificateSigningRequest)
        self._queue = WorkQueue[Key]("csrapproving")
        self._requests.feed(self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync)

    async def sync(self, key: Key) -> None:
        csr = self._requests.get(key)
        if csr is None or not awaits_decision(csr, KUBELET_CLIENT):
            return
        try:
            requested = signing_requests.parse(csr.spec.request)
        except ValueError:
            return
        for subresource, message in permissions(csr, requested):
            if await self._may_create(csr, subresource):
                await approve(self._client, csr, message)
                return

    async def _may_create(self, csr: CertificateSigningRequest, subresource: str) -> bool:
        spec = csr.spec
        attributes = ResourceAttributes(
            group="certificates.k8s.io",
            resource="certificatesigningrequests",
            verb="create",
            subresource=subresource,
            version="*",
        )
        review = SubjectAccessReview(
            spec=SubjectAccessReviewSpec(
                user=spec.username,
                uid=spec.uid,
                groups=spec.groups,
                extra=spec.extra,
                resource_attributes=attributes,
            )
        )
        return (await self._reviews_api.create(review)).status.allowed


def permissions(csr: CertificateSigningRequest, requested: Requested) -> Iterator[tuple[str, str]]:
    """The subresources of which one must be allowed to the requestor, each with what is then said."""
    if signing_requests.kubelet_client_fault(requested, csr.spec.usages or ()):
        return
    if csr.spec.username == requested.common_name:
        yield _SELF
    yield _ANY


def awaits_decision(csr: CertificateSigningRequest, signer: str) -> bool:
    return (
        csr.spec.signer_name == signer
        and not csr.status.certificate
        and not signing_requests.is_decided(csr)
        and not meta.is_being_deleted(csr)
    )


async def approve(client: Client, csr: CertificateSigningRequest, message: str) -> None:
    approved = CertificateSigningRequestCondition(type=APPROVED, status="True", reason="AutoApproved", message=message)
    changed = codec.copy(csr)
    changed.status.conditions = [*(csr.status.conditions or ()), approved]
    with suppress(errors.NotFound):
        await client.resource(CertificateSigningRequest).update(changed, subresource="approval")
        log.info("%s: approved for %s", meta.name_of(csr), csr.spec.username)
