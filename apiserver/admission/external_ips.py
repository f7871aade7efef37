"""Services get no external addresses that they do not have already: whoever sets them could take others' traffic."""

from apimachinery.types.core_v1 import Service
from apiserver.admission import Plugin, denied
from apiserver.request import Attributes


class DenyServiceExternalIPs(Plugin[Service]):
    types = (Service,)

    async def validate(self, attributes: Attributes, obj: Service, old: Service | None) -> None:
        if attributes.subresource:
            return
        before = (old.spec.external_ips if old is not None else None) or ()
        if not set(obj.spec.external_ips or ()) <= set(before):
            raise denied(attributes, obj, "Use of external IPs is denied by admission control.")
