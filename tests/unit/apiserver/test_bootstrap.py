"""Which leases count as running apiservers: anybody may write leases, so none may do harm."""

import pytest

from apimachinery import meta
from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apiserver.bootstrap.endpoints import _IDENTITY, _is_fresh


@pytest.mark.parametrize("name", ["x", "apiserver-x-6443", "apiserver-10-0-0-1-", "apiserver-10-0-0-1-http"])
def test_a_lease_of_another_name_is_no_apiserver(name: str) -> None:
    assert _IDENTITY.match(name) is None


def test_a_name_tells_address_and_port() -> None:
    found = _IDENTITY.match("apiserver-10-0-0-1-6443")
    assert found is not None
    assert (found["address"], found["port"]) == ("10-0-0-1", "6443")


@pytest.mark.parametrize(
    ("renewed", "fresh"),
    [(None, False), ("2026-02-30T00:00:00Z", False), ("2001-01-01T00:00:00.000000Z", False), ("now", True)],
)
def test_only_a_lease_that_was_just_renewed_is_fresh(renewed: str | None, fresh: bool) -> None:
    moment = meta.now_micro() if renewed == "now" else renewed
    assert _is_fresh(Lease(spec=LeaseSpec(renew_time=moment))) is fresh
