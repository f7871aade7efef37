"""Certificate signing requests: a certificate is requested, approved and signed.

The server, not the client, says who requests it: ``apiserver.admission.certificates`` writes that into the
spec, and asks who may approve and sign.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from apimachinery import meta, names
from apimachinery.core import signing_requests
from apimachinery.fields import FieldError, Path
from apimachinery.names import NameRule
from apimachinery.types.certificates_v1 import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestStatus,
)
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

USAGES: Final = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_DECISIONS: Final = (signing_requests.APPROVED, signing_requests.DENIED)
_SHORTEST: Final = 600
_CONDITIONS: Final = Path("status", "conditions")
_PEM_TYPE: Final = re.compile(rb"^-----BEGIN ([^-\r\n]+)-----", re.MULTILINE)


class SigningRequestKind(Strategy[CertificateSigningRequest]):
    name_rule: NameRule = staticmethod(names.path_segment)

    def prepare_for_create(self, obj: CertificateSigningRequest) -> None:
        obj.status = CertificateSigningRequestStatus()

    def prepare_for_update(self, obj: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
        obj.spec, obj.status = old.spec, old.status

    def validate(self, obj: CertificateSigningRequest) -> Iterator[FieldError]:
        spec = obj.spec
        if (fault := _not_a_request(spec.request)) is not None:
            yield (SPEC / "request").invalid(spec.request, fault)
        if not spec.usages:
            yield (SPEC / "usages").required()
        earlier: set[str] = set()
        for i, usage in enumerate(spec.usages or ()):
            if usage not in USAGES:
                yield (SPEC / "usages")[i].not_supported(usage, USAGES)
            elif usage in earlier:
                yield (SPEC / "usages")[i].duplicate(usage)
            earlier.add(usage)
        yield from _signer(SPEC / "signerName", spec.signer_name)
        if spec.expiration_seconds is not None and spec.expiration_seconds < _SHORTEST:
            yield (SPEC / "expirationSeconds").invalid(
                spec.expiration_seconds, "may not specify a duration less than 600 seconds (10 minutes)"
            )

    def validate_create(self, obj: CertificateSigningRequest) -> Iterator[FieldError]:
        if obj.spec.signer_name == signing_requests.LEGACY_UNKNOWN:
            yield (SPEC / "signerName").invalid(
                obj.spec.signer_name, "the legacy signerName is not allowed via this API version"
            )


def _not_a_request(text: str) -> str | None:
    try:
        csr = signing_requests.parse(text).csr
        return None if csr.is_signature_valid else "its signature is not that of its key"
    except (ValueError, UnsupportedAlgorithm) as exc:
        return str(exc) if isinstance(exc, ValueError) else "its signature is of an unknown kind"


def _signer(path: Path, name: str) -> Iterator[FieldError]:
    """``example.com/signer``."""
    if not name:
        yield path.required()
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        yield path.invalid(name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    yield from names.check(path, domain, names.dns_subdomain)
    if "." not in domain:
        yield path.invalid(domain, "should be a domain with at least two segments separated by dots")
    yield from names.check(path, rest, names.dns_subdomain)


class DecisionStrategy(Strategy[CertificateSigningRequest]):
    """``/approval`` and ``/status``: both write conditions: decisions, and all but decisions."""

    def __init__(self, *, decides: bool) -> None:
        self._decides = decides

    def prepare_for_update(self, obj: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
        obj.spec = old.spec
        obj.metadata.owner_references = old.metadata.owner_references
        if self._decides:
            obj.status.certificate = old.status.certificate
        for condition in obj.status.conditions or ():
            condition.status = condition.status or "True"
            condition.last_update_time = condition.last_update_time or meta.now()
            condition.last_transition_time = condition.last_transition_time or meta.now()

    def validate_update(self, obj: CertificateSigningRequest, old: CertificateSigningRequest) -> Iterator[FieldError]:
        after, before = obj.status.conditions or [], old.status.conditions or []
        yield from _conditions(after)
        for decision in sorted(_decisions(before) - _decisions(after)):
            yield _CONDITIONS.forbidden(f"updates may not remove a condition of type {decision!r}")
        if not self._decides and _decisions(after) - _decisions(before):
            yield _CONDITIONS.forbidden("updates may not add a condition of type 'Approved' or 'Denied' here")
        if not self._decides and old.status.certificate:
            yield from field_rules.immutable(Path("status"), obj.status, old.status, "certificate")
        elif not self._decides and obj.status.certificate and (fault := _chain_fault(obj.status.certificate)):
            yield Path("status", "certificate").invalid(obj.status.certificate, fault)


def _chain_fault(text: str) -> str | None:
    """What is wrong with a certificate and its chain, in base64 of PEM."""
    try:
        pem = base64.b64decode(text, validate=True)
        blocks = _PEM_TYPE.findall(pem)
        if other := [kind for kind in blocks if kind != b"CERTIFICATE"]:
            return f"only CERTIFICATE PEM blocks are allowed, found {other[0].decode('latin-1')!r}"
        if not blocks:
            return "must contain at least one CERTIFICATE PEM block"
        x509.load_pem_x509_certificates(pem)
    except (binascii.Error, ValueError):
        return "a CERTIFICATE PEM block holds no certificate"
    return None


def _decisions(conditions: Sequence[CertificateSigningRequestCondition]) -> set[str]:
    return {condition.type for condition in conditions if condition.type in _DECISIONS}


def _conditions(conditions: Sequence[CertificateSigningRequestCondition]) -> Iterator[FieldError]:
    types: set[str] = set()
    for i, condition in enumerate(conditions):
        path = _CONDITIONS[i]
        if not condition.type:
            yield (path / "type").required()
        elif condition.type in types:
            yield (path / "type").duplicate(condition.type)
        types.add(condition.type)
        if condition.type in (*_DECISIONS, "Failed"):
            yield from field_rules.required(path / "status", condition.status, ("True",))
    if set(_DECISIONS) <= types:
        yield _CONDITIONS.invalid(sorted(types), "Approved and Denied conditions are mutually exclusive")


def _condition(obj: CertificateSigningRequest) -> str:
    types = {condition.type for condition in obj.status.conditions or ()}
    words = [next((word for word in ("Denied", "Approved") if word in types), "Pending")]
    if "Failed" in types:
        words.append("Failed")
    if obj.status.certificate:
        words.append("Issued")
    return ",".join(words)


def _duration(obj: CertificateSigningRequest) -> str:
    seconds = obj.spec.expiration_seconds
    return "<none>" if seconds is None else columns.duration(seconds)


CERTIFICATE_SIGNING_REQUESTS = StoredResource(
    CertificateSigningRequest,
    SigningRequestKind(),
    singular="certificatesigningrequest",
    short_names=("csr",),
    columns=(
        columns.name(),
        columns.age(),
        Column("SignerName", lambda obj: obj.spec.signer_name or "<none>"),
        Column("Requestor", lambda obj: obj.spec.username or ""),
        Column("RequestedDuration", _duration),
        Column("Condition", _condition),
    ),
    fields={"spec.signerName": lambda obj: obj.spec.signer_name},
    subresources={
        "approval": ObjectSubresource(DecisionStrategy(decides=True)),
        "status": ObjectSubresource(DecisionStrategy(decides=False)),
    },
)
