"""Bootstrap tokens: short-lived secrets in ``kube-system`` with which a new node proves that it may join.

A token is ``<id>.<secret>``. Its id is public, names the secret ``bootstrap-token-<id>`` and the user
``system:bootstrap:<id>``. Names and rules are those of Kubernetes' k8s.io/cluster-bootstrap. Pure.
"""

import base64
import binascii
import re
import secrets
import string
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, Self

from apimachinery import meta
from apimachinery.types.core_v1 import Secret
from apimachinery.types.meta_v1 import ObjectMeta

SECRET_TYPE: Final = "bootstrap.kubernetes.io/token"
NAMESPACE: Final = "kube-system"
USER_PREFIX: Final = "system:bootstrap:"
BOOTSTRAPPERS: Final = "system:bootstrappers"
NODE_BOOTSTRAPPERS: Final = "system:bootstrappers:kubeadm:default-node-token"
"""The group of kubeadm's tokens, to which cluster roles for joining nodes are bound."""

AUTHENTICATION: Final = "usage-bootstrap-authentication"
SIGNING: Final = "usage-bootstrap-signing"

_NAME_PREFIX: Final = "bootstrap-token-"
_ID, _SECRET, _EXPIRATION, _GROUPS = "token-id", "token-secret", "expiration", "auth-extra-groups"
_TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP: Final = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_ALPHABET: Final = string.digits + string.ascii_lowercase


class Token(NamedTuple):
    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None if the text has another form."""
        match = _TOKEN.fullmatch(text)
        return cls(*match.groups()) if match else None

    @classmethod
    def generate(cls) -> Self:
        return cls(*("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (6, 16)))

    @property
    def secret_name(self) -> str:
        return _NAME_PREFIX + self.id


class BootstrapToken(NamedTuple):
    """What a secret says of its token."""

    token: Token
    expiration: datetime | None
    usages: frozenset[str]
    groups: tuple[str, ...]
    """Those of its user, sorted."""

    def is_expired(self, now: datetime) -> bool:
        return self.expiration is not None and self.expiration < now


class Unusable(ValueError):
    """A secret that is no bootstrap token; the message says why, without what is secret."""


def read(secret: Secret) -> BootstrapToken:
    """Raises ``Unusable``. A token that has expired is readable."""
    if secret.type != SECRET_TYPE:
        raise Unusable(f"its type is not {SECRET_TYPE}")
    token = Token.parse(f"{_value(secret, _ID)}.{_value(secret, _SECRET)}")
    if token is None:
        raise Unusable(f"{_ID} or {_SECRET} has another form")
    if meta.name_of(secret) != token.secret_name:
        raise Unusable(f"its name is not {token.secret_name}")
    extra = [group for group in _value(secret, _GROUPS).split(",") if group]
    if invalid := [group for group in extra if not _GROUP.fullmatch(group)]:
        raise Unusable(f"{_GROUPS}: {invalid[0]!r} is not a group below {BOOTSTRAPPERS}:")
    return BootstrapToken(
        token,
        expiration_of(secret),
        frozenset(usage for usage in (AUTHENTICATION, SIGNING) if _value(secret, usage) == "true"),
        tuple(sorted({BOOTSTRAPPERS, *extra})),
    )


def expiration_of(secret: Secret) -> datetime | None:
    """When the token expires; None if never. Raises ``Unusable`` if that cannot be read: such a token has expired."""
    text = _value(secret, _EXPIRATION)
    try:
        return meta.parse_time(text) if text else None
    except ValueError:
        raise Unusable(f"{_EXPIRATION} is not a time") from None


def _value(secret: Secret, key: str) -> str:
    try:
        return base64.b64decode((secret.data or {}).get(key, ""), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def secret_for(
    token: Token,
    expiration: datetime | None,
    *,
    description: str = "",
    usages: Iterable[str] = (AUTHENTICATION, SIGNING),
    groups: Iterable[str] = (NODE_BOOTSTRAPPERS,),
) -> Secret:
    """The secret that makes a token valid; without an expiration until it is deleted."""
    data = {
        _ID: token.id,
        _SECRET: token.secret,
        _EXPIRATION: meta.format_time(expiration) if expiration is not None else "",
        _GROUPS: ",".join(groups),
        "description": description,
        **dict.fromkeys(usages, "true"),
    }
    return Secret(
        metadata=ObjectMeta(name=token.secret_name, namespace=NAMESPACE),
        type=SECRET_TYPE,
        data={key: base64.b64encode(text.encode()).decode() for key, text in data.items() if text},
    )
