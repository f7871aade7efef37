"""Which of the machine's addresses is the node's, now: a laptop moves, a lease runs out."""

import logging

from component_base import iproute
from component_base.values import IPAddress
from kubelet.network.pod_network import DEVICE, SERVICE_DEVICE

log = logging.getLogger(__name__)


class NoAddress(Exception):
    """The machine has no address that fits; the message says what was looked for."""


def default_address(wanted: IPAddress | None) -> iproute.Address:
    """The address asked for, else that of the default route's device, else the first that is not local.

    Raises:
        NoAddress: there is none.
    """
    candidates = [
        one for one in iproute.addresses() if not one.address.is_loopback and one.device not in (DEVICE, SERVICE_DEVICE)
    ]
    if wanted is not None:
        found = next((one for one in candidates if one.address == wanted), None)
        if found is None:
            raise NoAddress(f"--node-ip {wanted} is not an address of this machine")
        return found
    device = next((one.device for one in iproute.routes() if one.destination.prefixlen == 0), None)
    preferred = [one for one in candidates if one.device == device] or candidates
    if not preferred:
        raise NoAddress("this machine has no address but loopback; --node-ip may name one")
    return preferred[0]


class NodeAddress:
    """The node's address as last seen. ``look`` blocks a little: call it in a thread."""

    def __init__(self, wanted: IPAddress | None) -> None:
        """Raises ``NoAddress``."""
        self._wanted = wanted
        self._found = default_address(wanted)

    def __str__(self) -> str:
        return str(self._found.address)

    @property
    def device(self) -> str:
        return self._found.device

    @property
    def ips(self) -> tuple[str, ...]:
        """What pods learn of it."""
        return (str(self),)

    def look(self) -> bool:
        """Whether it is another one than before. A machine that has none at the moment keeps the one that it had."""
        try:
            found = default_address(self._wanted)
        except (NoAddress, iproute.IpRouteError, OSError) as exc:
            log.info("node address %s: %s; kept", self, exc)
            return False
        before, self._found = self._found.address, found
        return found.address != before
