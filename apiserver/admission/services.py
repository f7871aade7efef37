"""The admission plugin ``DenyServiceExternalIPs``: nobody may give a service addresses that are not the cluster's."""

from apimachinery.types.core_v1 import Service
from apiserver.admission import Plugin, denied
from apiserver.request import Attributes


class DenyServiceExternalIPs(Plugin[Service]):
    """Those that a service has already may stay. Without the plugin whoever may write services can take over any
    address for the cluster's pods (CVE-2020-8554)."""

    types = (Service,)

    async def validate(self, attributes: Attributes, obj: Service, old: Service | None) -> None:
        if attributes.subresource:
            return
        present = (old.spec.external_ips or ()) if old is not None else ()
        if not set(obj.spec.external_ips or ()) <= set(present):
            raise denied(attributes, obj, "Use of external IPs is denied by admission control")
