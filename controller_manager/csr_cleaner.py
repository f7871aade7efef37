"""Deletes certificate signing requests that have served: the object is of no use once its certificate was fetched."""

import asyncio
import base64
import binascii
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from apimachinery import errors, meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import APPROVED, DENIED, FAILED
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from controller_manager.context import ControllerContext

log = logging.getLogger(__name__)

PERIOD: Final = 3600.0
_DECIDED: Final = timedelta(hours=1)
_PENDING: Final = timedelta(hours=24)


class SigningRequestCleaner:
    def __init__(self, context: ControllerContext) -> None:
        self._requests_api = context.client.resource(CertificateSigningRequest)
        self._requests = context.informer(CertificateSigningRequest)

    async def run(self) -> None:
        while True:
            for csr in self._requests.list():
                if reason := outdated(csr, datetime.now(UTC)):
                    await self._delete(csr, reason)
            await asyncio.sleep(PERIOD)

    async def _delete(self, csr: CertificateSigningRequest, reason: str) -> None:
        try:
            with suppress(errors.NotFound, errors.Conflict):
                await self._requests_api.delete(meta.name_of(csr), uid=meta.uid_of(csr))
                log.info("%s: deleted, %s", meta.name_of(csr), reason)
        except errors.ApiError as exc:
            log.info("%s: not deleted: %s; will retry", meta.name_of(csr), exc)


def outdated(csr: CertificateSigningRequest, now: datetime) -> str | None:
    """Why a request may go, by the rules of Kubernetes' cleaner; None if it stays."""
    if not csr.status.conditions and _is_older(csr.metadata.creation_timestamp, _PENDING, now):
        return "nobody has decided on it for 24 hours"
    for type, said in ((DENIED, "it was denied"), (FAILED, "it failed"), (APPROVED, "it was approved")):
        condition = signing_requests.condition(csr, type)
        if condition is None or (type == APPROVED and not csr.status.certificate):
            continue
        if _is_older(condition.last_update_time, _DECIDED, now):
            return f"{said} more than an hour ago"
    if signing_requests.condition(csr, APPROVED) is not None and _has_expired(csr.status.certificate, now):
        return "its certificate has expired"
    return None


def _is_older(time: str | None, age: timedelta, now: datetime) -> bool:
    return bool(time) and now - meta.parse_time(time or "") > age


def _has_expired(certificate: str | None, now: datetime) -> bool:
    if not certificate:
        return False
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc < now
    except (binascii.Error, ValueError):  # whoever signs may write what it likes
        return False
