"""DenyServiceExternalIPs: addresses may go, but not come."""

import pytest

from apimachinery import errors
from apimachinery.types.core_v1 import Service, ServiceSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.services import DenyServiceExternalIPs
from apiserver.request import Attributes, User

UPDATE = Attributes(User("ann"), "update", "", resource="services", namespace="ns", name="a")


def service(*addresses: str) -> Service:
    return Service(metadata=ObjectMeta(name="a"), spec=ServiceSpec(external_ips=list(addresses) or None))


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (service(), None),
        (service("192.0.2.1"), service("192.0.2.1")),
        (service("192.0.2.1"), service("192.0.2.2", "192.0.2.1")),
        (service(), service("192.0.2.1")),
    ],
)
async def test_what_a_service_has_may_stay_or_go(new: Service, old: Service | None) -> None:
    await DenyServiceExternalIPs().validate(UPDATE, new, old)


@pytest.mark.parametrize("old", [None, service(), service("192.0.2.2")])
async def test_new_addresses_are_refused(old: Service | None) -> None:
    with pytest.raises(errors.Forbidden) as refused:
        await DenyServiceExternalIPs().validate(UPDATE, service("192.0.2.1"), old)
    assert refused.value.message == 'services "a" is forbidden: Use of external IPs is denied by admission control'
