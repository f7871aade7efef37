"""Tokens of service accounts: signed by this cluster, short-lived, bound to what they were issued for."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jwt

from apimachinery import errors
from apiserver.authentication import ALL_AUTHENTICATED, Credentials
from apiserver.authentication.bearer import token_of
from apiserver.request import User

_ALGORITHM: Final = "RS256"
_CLAIM: Final = "kubernetes.io"

Living = Callable[[str, str, str], bool]
"""Whether the service account (namespace, name) still exists with this uid."""


class TokenIssuer:
    """Makes tokens."""

    def __init__(self, issuer: str, signing_key: Path) -> None:
        self.issuer = issuer
        self._key = signing_key.read_bytes()

    def issue(
        self, namespace: str, name: str, uid: str, audiences: Sequence[str], seconds: int, bound: dict[str, Any]
    ) -> tuple[str, int]:
        """A token, and when it expires (seconds since the epoch).

        Args:
            bound: kind in lower case -> name and uid of the object that the token lives and dies with.
        """
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": list(audiences) or [self.issuer],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            _CLAIM: {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}, **bound},
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM), now + seconds


class ServiceAccountTokens:
    """Knows the users behind tokens that this cluster issued."""

    def __init__(self, issuer: str, public_key: Path, living: Living) -> None:
        self._issuer, self._living = issuer, living
        self._key = public_key.read_bytes()

    def authenticate(self, credentials: Credentials) -> User | None:
        token = token_of(credentials.headers)
        if token.count(".") != 2:
            return None
        return self.user_of(token, [self._issuer])

    def user_of(self, token: str, audiences: Sequence[str]) -> User | None:
        """The user, or None if somebody else issued the token. Raises Unauthorized if it does not hold."""
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
            if unverified.get("iss") != self._issuer:
                return None
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=list(audiences), issuer=self._issuer
            )
        except jwt.InvalidTokenError as fault:
            raise errors.Unauthorized("Unauthorized") from fault
        private = claims.get(_CLAIM, {})
        namespace, account = private.get("namespace", ""), private.get("serviceaccount", {})
        if not self._living(namespace, account.get("name", ""), account.get("uid", "")):
            raise errors.Unauthorized("Unauthorized")
        return User(
            name=f"system:serviceaccount:{namespace}:{account['name']}",
            uid=account["uid"],
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", ALL_AUTHENTICATED),
        )
