"""Requests a certificate from the cluster, and waits for it."""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery import errors, meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import (
    CLIENT_USAGES,
    DENIED,
    FAILED,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    NODES_GROUP,
    SERVER_USAGES,
    node_user,
)
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from apimachinery.types.core_v1 import Node
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from kubelet.certificates.store import Pair, key_to_pem, read_pair

log = logging.getLogger(__name__)

_FIRST_LOOK, _LONGEST_LOOK = 0.1, 10.0
"""Seconds between looks at a request: it is usually signed at once, unless a person has to approve it."""

_IPS: Final = ("InternalIP", "ExternalIP")
_NAMES: Final = ("Hostname", "InternalDNS", "ExternalDNS")


class NotIssued(Exception):
    """The request was refused, or its certificate is of no use; the message says why. Another one needs another key."""


@dataclass(frozen=True)
class Template:
    """What a certificate is for."""

    signer: str
    usages: tuple[str, ...]
    common_name: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def is_met_by(self, certificate: x509.Certificate) -> bool:
        """Whether subject and names are the same."""
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        return certificate.subject == self._subject and {*names} == {*self._alternatives}

    def request(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """In PEM."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(self._subject)
        if self._alternatives:
            names = x509.SubjectAlternativeName(self._alternatives)
            builder = builder.add_extension(names, critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def object_name(self, key: ec.EllipticCurvePrivateKey) -> str:
        """The same for the same request, so that it is found again after a restart."""
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        parts = (public.hex(), self.signer, self.common_name, *self.usages, *self.names, *self.addresses)
        return f"node-csr-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:40]}"

    @property
    def _subject(self) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES_GROUP),
                x509.NameAttribute(NameOID.COMMON_NAME, self.common_name),
            ]
        )

    @property
    def _alternatives(self) -> list[x509.GeneralName]:
        return [*map(x509.DNSName, self.names), *(x509.IPAddress(ip_address(text)) for text in self.addresses)]


def client_template(node: str) -> Template:
    return Template(KUBELET_CLIENT, CLIENT_USAGES, node_user(node))


def serving_template(node: Node | None) -> Template | None:
    """For the names and addresses in the node's status, as the cluster knows it; None while there are none."""
    if node is None:
        return None
    names, addresses = _addresses(node, _NAMES), _addresses(node, _IPS)
    if not names and not addresses:
        return None
    return Template(KUBELET_SERVING, SERVER_USAGES, node_user(meta.name_of(node)), names, addresses)


def _addresses(node: Node, types: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({address.address for address in node.status.addresses or () if address.type in types}))


async def issued(client: Client, template: Template, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, Pair]:
    """The certificate for a key, in PEM, with its chain; waits until somebody has approved the request.

    Raises:
        NotIssued: the request was denied, or failed.
        errors.ApiError: the apiserver refused to take it, or could not be reached.
    """
    requests_api, name = client.resource(CertificateSigningRequest), template.object_name(key)
    csr = CertificateSigningRequest(
        metadata=ObjectMeta(name=name),
        spec=CertificateSigningRequestSpec(
            request=base64.b64encode(template.request(key)).decode(),
            signer_name=template.signer,
            usages=[*template.usages],
        ),
    )
    try:
        csr = await requests_api.create(csr)
        log.info("%s: requested a certificate for %s from %s", name, template.common_name, template.signer)
    except errors.AlreadyExists:
        csr = await requests_api.get(name)
    delay = _FIRST_LOOK
    while not csr.status.certificate:
        for type in (DENIED, FAILED):
            if (condition := signing_requests.condition(csr, type)) is not None:
                raise NotIssued(f"{name} is {type}: {condition.reason}: {condition.message}")
        await asyncio.sleep(delay)
        delay = min(_LONGEST_LOOK, delay * 1.5)
        csr = await requests_api.get(name)
    return _certificate(csr, key)


def _certificate(csr: CertificateSigningRequest, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, Pair]:
    try:
        chain = base64.b64decode(csr.status.certificate or "").rstrip() + b"\n"
        pair = read_pair(chain + key_to_pem(key))
    except ValueError as exc:
        raise NotIssued(f"{meta.name_of(csr)}: its certificate cannot be used: {exc}") from exc
    return chain, pair
