"""Which of the machine's addresses is the node's. It may change: a laptop moves, a lease expires."""

import logging

from component_base.values import IPAddress
from host_network.commands import CommandError
from host_network.devices import POD_BRIDGE, SERVICE_BRIDGE, Address, addresses
from host_network.routes import routes

log = logging.getLogger(__name__)


class NoAddress(Exception):
    """The machine has no suitable address; the message says what was required."""


def default_address(node_ip: IPAddress | None) -> Address:
    """``node_ip`` if it is set, else the address of the default route's device, else the first that is not loopback.

    Raises:
        NoAddress: there is none.
    """
    candidates = [
        address
        for address in addresses()
        if not address.address.is_loopback and address.device not in (POD_BRIDGE, SERVICE_BRIDGE)
    ]
    if node_ip is not None:
        for candidate in candidates:
            if candidate.address == node_ip:
                return candidate
        raise NoAddress(f"--node-ip {node_ip} is not an address of this machine")
    device = next((route.device for route in routes() if route.destination.prefixlen == 0), None)
    preferred = [candidate for candidate in candidates if candidate.device == device] or candidates
    if not preferred:
        raise NoAddress("this machine has no address except loopback; --node-ip may name one")
    return preferred[0]


class NodeAddress:
    """The node's address at the last ``check``, which blocks a little: call it in a thread."""

    def __init__(self, node_ip: IPAddress | None) -> None:
        """Raises ``NoAddress``."""
        self._node_ip = node_ip
        self._address = default_address(node_ip)

    def __str__(self) -> str:
        return str(self._address.address)

    @property
    def device(self) -> str:
        return self._address.device

    @property
    def ips(self) -> tuple[str, ...]:
        """As the status of pods lists them."""
        return (str(self),)

    def check(self) -> bool:
        """Whether it has changed. While the machine has none, the last one remains."""
        try:
            address = default_address(self._node_ip)
        except (NoAddress, CommandError) as exc:
            log.info("node address %s: %s; unchanged", self, exc)
            return False
        before, self._address = self._address.address, address
        return address.address != before
