"""Whether they may: every request passes here once it is known who asks and for what."""

from typing import Protocol

from apiserver.request import Attributes


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> None:
        """Return if the request is allowed. Raises Forbidden if it is not."""
        ...


class AlwaysAllow:
    """Whoever is known may do everything (``--authorization-mode=AlwaysAllow``)."""

    async def authorize(self, attributes: Attributes) -> None:
        return
