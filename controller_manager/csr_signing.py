"""Signs certificate signing requests that are approved and ask for one of Kubernetes' own signers.

What a signer does not sign, for its usages, subject or names, it marks as Failed, with the reason.
"""

import base64
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from apimachinery import codec, errors, meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import FAILED, SIGNERS
from apimachinery.meta import Key
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from controller_manager.certificate_authority import CertificateAuthority, life
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_WORKERS: Final = 5


class SigningController:
    def __init__(
        self, context: ControllerContext, authorities: Mapping[str, CertificateAuthority], longest: timedelta
    ) -> None:
        """``authorities`` by the name of their signer; ``longest`` is how long a certificate lives unless it asks for less."""
        self._requests_api = context.client.resource(CertificateSigningRequest)
        self._requests = context.informer(CertificateSigningRequest)
        self._authorities, self._longest = authorities, longest
        self._queue = WorkQueue[Key]("csrsigning")
        self._requests.feed(self._queue)

    @classmethod
    def if_signing(cls, context: ControllerContext) -> Self | None:
        """None without ``--cluster-signing-cert-file`` or one for a single signer."""
        options = context.options.signing
        authorities = {name: CertificateAuthority(*files) for name, files in options.authorities().items()}
        duration = timedelta(seconds=options.cluster_signing_duration)
        return cls(context, authorities, duration) if authorities else None

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        csr = self._requests.get(key)
        if csr is None or meta.is_being_deleted(csr) or csr.status.certificate:
            return
        if not signing_requests.is_approved(csr) or signing_requests.condition(csr, FAILED) is not None:
            return
        authority = self._authorities.get(csr.spec.signer_name)
        if authority is None:
            return
        changed = codec.copy(csr)
        if fault := _fault(csr):
            failed = CertificateSigningRequestCondition(
                type=FAILED, status="True", reason="SignerValidationFailure", message=fault
            )
            changed.status.conditions = [*(csr.status.conditions or ()), failed]
        else:
            lives = life(csr.spec.expiration_seconds, self._longest)
            requested = signing_requests.parse(csr.spec.request)
            certificate = authority.sign(requested, csr.spec.usages or (), lives, datetime.now(UTC))
            changed.status.certificate = base64.b64encode(certificate).decode()
        with suppress(errors.NotFound):
            await self._requests_api.update_status(changed)
            log.info("%s: %s", key.name, fault or "signed")


def _fault(csr: CertificateSigningRequest) -> str | None:
    """Why the signer does not sign; None if it does."""
    try:
        requested = signing_requests.parse(csr.spec.request)
    except ValueError as exc:
        return str(exc)
    return SIGNERS[csr.spec.signer_name](requested, csr.spec.usages or ())
