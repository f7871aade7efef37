"""Tokens of an OpenID Connect provider: a claim names the user, another one the groups.

The rules are those of Kubernetes' ``--oidc-*`` flags. Keys come from a file, or from the provider, which is asked for
them every minute: a provider publishes a new key before it signs with it. While the provider cannot be reached the last
keys count; before any are known its tokens are refused, and everybody else is served.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

import aiohttp
import jwt
import msgspec

from apimachinery import errors
from apiserver.authentication.authenticators import ALL_AUTHENTICATED, Credentials, token_of
from apiserver.request import User

log = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
_REFRESH: Final = 60.0  # s
_RETRY: Final = 5.0  # s, while no keys are known
_SECONDS: Final = 10.0  # for the provider to answer
_DOCUMENT: Final = 1024 * 1024  # bytes of what it answers
_CLOCK_LEEWAY: Final = 10  # s
_DISCOVERY: Final = "/.well-known/openid-configuration"


Keys = Mapping[str | None, jwt.PyJWK]
"""By their ids."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What is accepted of one provider."""

    issuer: str
    client_id: str
    """The audience that tokens must have."""
    jwks_file: Path | None = None
    """Its keys; None to ask the provider for them."""
    username_claim: str = "sub"
    username_prefix: str | None = None
    """None: ``<issuer>#``, unless the claim is ``email``; ``-``: none."""
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: Mapping[str, str] = field(default_factory=dict)
    algorithms: Sequence[str] = ("RS256",)

    @property
    def prefix(self) -> str:
        if self.username_prefix is not None:
            return "" if self.username_prefix == "-" else self.username_prefix
        return "" if self.username_claim == "email" else f"{self.issuer}#"


class OpenIDTokens:
    """Authenticates a provider's ID tokens. Without a file of keys, ``run`` has to run.

    Args:
        tls: verifies the provider.

    Raises:
        ValueError: the file holds no keys.
    """

    def __init__(self, provider: Provider, tls: SSLContext) -> None:
        self._provider, self._tls = provider, tls
        self._keys: Keys = {}
        if provider.jwks_file is not None:
            self._keys = _keys(provider.jwks_file.read_bytes())

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None if another issuer made the token. Raises Unauthorized if it is not valid."""
        token = token_of(credentials.headers)
        if token.count(".") != 2 or credentials.audiences not in ((), (self._provider.client_id,)):
            return None
        try:
            if jwt.decode(token, options={"verify_signature": False}).get("iss") != self._provider.issuer:
                return None
            return self._user(self._verified(token))
        except (jwt.PyJWTError, UnicodeError, OverflowError, RecursionError) as fault:
            log.info("oidc: a token was refused: %s", fault)
            raise errors.Unauthorized("Unauthorized") from fault

    async def run(self) -> None:
        """Keep the provider's keys up to date until cancelled."""
        if self._provider.jwks_file is not None:
            await asyncio.Event().wait()
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=self._tls)) as session:
            while True:
                try:
                    self._keys = await self._fetch(session)
                except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
                    log.warning("oidc: no keys from %s: %s; will retry", self._provider.issuer, fault or "no answer")
                await asyncio.sleep(_REFRESH if self._keys else _RETRY)

    async def _fetch(self, session: aiohttp.ClientSession) -> Keys:
        discovered = msgspec.json.decode(await _read(session, self._provider.issuer.rstrip("/") + _DISCOVERY))
        if not isinstance(discovered, dict) or discovered.get("issuer") != self._provider.issuer:
            raise ValueError("its discovery document names another issuer")
        uri = discovered.get("jwks_uri")
        if not isinstance(uri, str) or not uri.startswith("https://"):
            raise ValueError("its discovery document has no jwks_uri with https")
        return _keys(await _read(session, uri))

    def _verified(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that is valid now. Raises PyJWTError."""
        kid = jwt.get_unverified_header(token).get("kid")
        keys = [self._keys[kid]] if kid in self._keys else [] if kid else list(self._keys.values())
        fault: jwt.PyJWTError = jwt.InvalidSignatureError("its key is not known")
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=list(self._provider.algorithms),
                    audience=self._provider.client_id,
                    issuer=self._provider.issuer,
                    options={"require": ["exp", "aud", "iss"]},
                    leeway=_CLOCK_LEEWAY,
                )
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError) as wrong:
                fault = wrong
                continue
            return claims
        raise fault

    def _user(self, claims: Mapping[str, Any]) -> User:
        """Raises InvalidTokenError if a claim is missing, or not what is required."""
        provider = self._provider
        for claim, value in provider.required_claims.items():
            if claims.get(claim) != value:
                raise jwt.InvalidTokenError(f"claim {claim} is not what is required")
        name = claims.get(provider.username_claim)
        if not isinstance(name, str) or not name:
            raise jwt.InvalidTokenError(f"claim {provider.username_claim} names no user")
        if provider.username_claim == "email" and claims.get("email_verified", True) is not True:
            raise jwt.InvalidTokenError("the email address is not verified")
        groups = claims.get(provider.groups_claim) if provider.groups_claim else None
        groups = [groups] if isinstance(groups, str) else groups or []
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise jwt.InvalidTokenError(f"claim {provider.groups_claim} is neither a text nor a list of texts")
        prefixed = (f"{provider.groups_prefix}{group}" for group in groups)
        return User(f"{provider.prefix}{name}", groups=(*prefixed, ALL_AUTHENTICATED))


def _keys(document: bytes) -> Keys:
    """The keys of a JSON Web Key Set. Raises ValueError if there are none."""
    try:
        return {key.key_id: key for key in jwt.PyJWKSet.from_json(document.decode()).keys}
    except (jwt.PyJWTError, TypeError, AttributeError, KeyError, ValueError) as fault:
        raise ValueError("not a JSON Web Key Set with keys") from fault


async def _read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        answer.raise_for_status()
        document = await answer.content.read(_DOCUMENT + 1)
        while len(document) <= _DOCUMENT and (more := await answer.content.read(_DOCUMENT)):
            document += more
    if len(document) > _DOCUMENT:
        raise ValueError(f"{url} is larger than {_DOCUMENT} bytes")
    return document
