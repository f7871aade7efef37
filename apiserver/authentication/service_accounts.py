"""Tokens of service accounts: signed by this cluster, mostly short-lived, bound to what they were issued for.

A signature is verified once per token and remembered by the token's digest; whether the account and the object that
a token is bound to still exist is looked up for every request. Legacy tokens, in secrets, do not expire and are valid
as long as their secret contains them.
"""

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from msgspec import Struct, field

from apimachinery import errors, meta
from apimachinery.types.core_v1 import Node, Pod, Secret, ServiceAccount
from apimachinery.types.objects import KubeObject
from apiserver.authentication.authenticators import ALL_AUTHENTICATED, Credentials, token_of
from apiserver.request import User

_ALGORITHM: Final = "RS256"
_CLAIM: Final = "kubernetes.io"
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
_LEGACY: Final = "kubernetes.io/serviceaccount/"

WARN_AFTER: Final = 3607
"""Seconds that admission asks for; such a token lives a year, and warns of clients that do not read it anew."""
EXTENDED: Final = 365 * 24 * 3600

_GONE_LEEWAY: Final = 60
"""Seconds for which a token outlives the deletion of what it is bound to: the pod is still stopping."""
_CLOCK_LEEWAY: Final = 10
_REMEMBERED: Final = 4096


class _Reference(Struct, frozen=True):
    name: str = ""
    uid: str = ""


class _Private(Struct, frozen=True):
    """What a token says of the account, and of what it is bound to."""

    namespace: str = ""
    serviceaccount: _Reference = _Reference()
    pod: _Reference | None = None
    node: _Reference | None = None
    secret: _Reference | None = None


class _Claims(Struct, frozen=True):
    """The claims of a token that are used. A token that is signed may still have them in another form."""

    iss: str
    exp: float | None = None
    aud: str | list[str] = ()  # type: ignore[assignment]
    jti: str = ""
    private: _Private = field(name=_CLAIM, default=_Private())
    legacy: Mapping[str, object] = {}
    """All claims of a legacy token."""

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset((self.aud,) if isinstance(self.aud, str) else self.aud)


Find = Callable[[type[Pod | Node | Secret | ServiceAccount], str, str], KubeObject | None]
"""The object of a type, namespace and name, if it exists. Raises ServiceUnavailable while that is not known."""


def key_id(public_key: Any) -> str:
    """The name by which tokens and the published key set call a key."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


class TokenIssuer:
    """Makes tokens."""

    def __init__(self, issuer: str, signing_key: Path, audiences: Sequence[str] = (), *, extend: bool = True) -> None:
        self.issuer, self.audiences = issuer, list(audiences) or [issuer]
        self._key: Any = serialization.load_pem_private_key(signing_key.read_bytes(), password=None)
        self._headers = {"kid": key_id(self._key.public_key())}
        self._extend = extend

    def issue(
        self, namespace: str, name: str, uid: str, audiences: Sequence[str], seconds: int, bound: Mapping[str, object]
    ) -> tuple[str, int]:
        """A token, and when it should be replaced (seconds since the epoch).

        Args:
            bound: kind in lower case -> name and uid of the object that the token lives and dies with.
        """
        now = int(time.time())
        private = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}, **bound}
        life = seconds
        if self._extend and seconds == WARN_AFTER and "pod" in bound and set(audiences) <= set(self.audiences):
            private["warnafter"], life = now + seconds, EXTENDED
        claims = {
            "iss": self.issuer,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "aud": list(audiences) or self.audiences,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": str(uuid.uuid4()),
            _CLAIM: private,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers=self._headers), now + seconds


class ServiceAccountTokens:
    """Authenticates tokens that this cluster issued."""

    def __init__(self, issuer: str, public_key: Path, find: Find, audiences: Sequence[str] = ()) -> None:
        self._issuer, self._find = issuer, find
        self._audiences = frozenset(audiences or [issuer])
        self._key: Any = serialization.load_pem_public_key(public_key.read_bytes())
        self._verified: dict[bytes, _Claims] = {}

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None if somebody else issued the token. Raises Unauthorized if it is not valid."""
        token = token_of(credentials.headers)
        if token.count(".") != 2:
            return None
        claims = self._claims(token)
        if claims is None:
            return None
        if claims.iss == LEGACY_ISSUER:
            return self._legacy(token, claims.legacy)
        if not claims.audiences & (frozenset(credentials.audiences) or self._audiences):
            raise errors.Unauthorized("Unauthorized")
        return self._bound(claims)

    def _claims(self, token: str) -> _Claims | None:
        """The claims of a token, once it is known to be ours and valid now."""
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(token)
            if claims is not None:
                self._remember(digest, claims)
        elif claims.exp is not None and claims.exp + _CLOCK_LEEWAY < time.time():
            del self._verified[digest]
            raise errors.Unauthorized("Unauthorized")
        return claims

    def _verify(self, token: str) -> _Claims | None:
        try:
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
            if issuer not in (self._issuer, LEGACY_ISSUER):
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                options={"verify_aud": False, "require": [] if issuer == LEGACY_ISSUER else ["exp"]},
                leeway=_CLOCK_LEEWAY,
            )
            legacy = claims if issuer == LEGACY_ISSUER else {}
            return msgspec.convert({**claims, "legacy": legacy}, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, UnicodeError, OverflowError, RecursionError) as fault:
            raise errors.Unauthorized("Unauthorized") from fault

    def _remember(self, digest: bytes, claims: _Claims) -> None:
        if len(self._verified) >= _REMEMBERED:  # the oldest goes; should it be in use, it comes back as the newest
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = claims

    def _bound(self, claims: _Claims) -> User:
        private = claims.private
        namespace, account, pod, node = private.namespace, private.serviceaccount, private.pod, private.node
        self._must_live(ServiceAccount, namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        if claims.jti:
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims.jti}",)
        if private.secret:
            self._must_live(Secret, namespace, private.secret)
        if pod:
            self._must_live(Pod, namespace, pod)
            extra["authentication.kubernetes.io/pod-name"] = (pod.name,)
            extra["authentication.kubernetes.io/pod-uid"] = (pod.uid,)
        elif node:
            self._must_live(Node, "", node)
        if node:
            extra["authentication.kubernetes.io/node-name"] = (node.name,)
            if node.uid:
                extra["authentication.kubernetes.io/node-uid"] = (node.uid,)
        return _user(namespace, account.name, account.uid, extra)

    def _must_live(self, type: type[Pod | Node | Secret | ServiceAccount], namespace: str, ref: _Reference) -> None:
        """Raises Unauthorized if the object no longer exists, or is another one of the same name."""
        obj = self._find(type, namespace, ref.name)
        if obj is None or meta.uid_of(obj) != ref.uid:
            raise errors.Unauthorized("Unauthorized")
        ends = obj.metadata.deletion_timestamp
        if ends and meta.parse_time(ends).timestamp() < time.time() - _GONE_LEEWAY:
            raise errors.Unauthorized("Unauthorized")

    def _legacy(self, token: str, claims: Mapping[str, object]) -> User:
        namespace, name, uid, secret_name = (
            str(claims.get(f"{_LEGACY}{part}", ""))
            for part in ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        self._must_live(ServiceAccount, namespace, _Reference(name, uid))
        kept_in = self._find(Secret, namespace, secret_name)
        if not isinstance(kept_in, Secret) or kept_in.metadata.deletion_timestamp:
            raise errors.Unauthorized("Unauthorized")
        if (kept_in.data or {}).get("token", "") != base64.b64encode(token.encode()).decode():
            raise errors.Unauthorized("Unauthorized")
        return _user(namespace, name, uid, {})


def _user(namespace: str, name: str, uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        uid=uid,
        groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", ALL_AUTHENTICATED),
        extra=extra,
    )
