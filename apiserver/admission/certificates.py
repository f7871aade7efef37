"""A certificate signing request says who asked for it, and nobody can say so for somebody else."""

from typing import Any

from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apiserver.admission import Plugin
from apiserver.request import Attributes


class SigningRequestor(Plugin):
    """Writes the user of the request into the spec."""

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.verb != "create" or not isinstance(obj, CertificateSigningRequest):
            return
        user, spec = attributes.user, obj.spec
        spec.username, spec.uid = user.name, user.uid or None
        spec.groups = list(user.groups) or None
        spec.extra = {key: list(values) for key, values in user.extra.items()} or None
