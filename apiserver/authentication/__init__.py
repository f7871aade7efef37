"""Who asks: each authenticator looks for its own kind of credential; the first that finds one decides."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from apimachinery import errors
from apiserver.request import User

ALL_AUTHENTICATED: Final = "system:authenticated"


class Credentials(Struct, frozen=True):
    """What of a request may tell who asks."""

    headers: Mapping[str, str]
    extensions: Mapping[str, Any]
    """The ASGI scope's; ``tls`` holds the client's verified certificate."""
    audiences: tuple[str, ...] = ()
    """Whom a token must be meant for; empty: the API."""


class Authenticator(Protocol):
    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None if the request carries nothing of this kind. Raises Unauthorized if it is wrong."""
        ...


class Union:
    """Several authenticators as one; a request that none of them knows is refused."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators

    def authenticate(self, credentials: Credentials) -> User:
        for authenticator in self._authenticators:
            if (user := authenticator.authenticate(credentials)) is not None:
                return user
        raise errors.Unauthorized("Unauthorized")
