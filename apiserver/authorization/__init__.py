"""Authorization: every request is checked here once its user and attributes are known."""

from typing import Protocol

from apiserver.request import Attributes


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> None:
        """Return if the request is allowed. Raises Forbidden if it is not."""
        ...


class AlwaysAllow:
    """Every user may do everything (``--authorization-mode=AlwaysAllow``)."""

    async def authorize(self, attributes: Attributes) -> None:
        return
