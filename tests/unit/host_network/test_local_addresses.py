"""Which addresses are this machine's own."""

import pytest

from host_network.local_addresses import is_local


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_local(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8::1", "::ffff:198.51.100.1"])
def test_what_is_elsewhere_is_not(address: str) -> None:
    assert not is_local(address)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_local("localhost")
