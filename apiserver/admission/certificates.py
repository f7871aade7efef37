"""A certificate signing request names the user who created it, whatever the client writes."""

from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apiserver.admission import Plugin
from apiserver.request import Attributes


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
