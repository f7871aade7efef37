"""Authenticates bootstrap tokens (``--enable-bootstrap-token-auth``) by the secrets in the watch cache.

A token that is unknown, expired or not meant for this is nobody's, as in Kubernetes: another authenticator may know it.
"""

import hmac
import logging
from datetime import UTC, datetime

from apimachinery import meta
from apimachinery.core import bootstrap_tokens
from apimachinery.core.bootstrap_tokens import Token, Unusable
from apimachinery.types.core_v1 import Secret
from apiserver.authentication.authenticators import ALL_AUTHENTICATED, Credentials, token_of
from apiserver.authentication.service_accounts import Find
from apiserver.request import User

log = logging.getLogger(__name__)


class BootstrapTokens:
    def __init__(self, find: Find) -> None:
        self._find = find

    def authenticate(self, credentials: Credentials) -> User | None:
        token = Token.parse(token_of(credentials.headers))
        if token is None or credentials.audiences:  # these tokens are meant for the API alone
            return None
        secret = self._find(Secret, bootstrap_tokens.NAMESPACE, token.secret_name)
        if not isinstance(secret, Secret):
            return None
        if fault := _fault(secret, token):
            log.info("%s: a request with this token is refused: %s", meta.key_of(secret), fault)
            return None
        groups = (*bootstrap_tokens.read(secret).groups, ALL_AUTHENTICATED)
        return User(bootstrap_tokens.USER_PREFIX + token.id, groups=groups)


def _fault(secret: Secret, token: Token) -> str:
    """Why the secret does not vouch for the token; empty if it does."""
    try:
        known = bootstrap_tokens.read(secret)
    except Unusable as exc:
        return str(exc)
    if not hmac.compare_digest(known.token.secret, token.secret):
        return "it is not the token's"
    if meta.is_being_deleted(secret):
        return "it is being deleted"
    if known.is_expired(datetime.now(UTC)):
        return "it has expired"
    if bootstrap_tokens.AUTHENTICATION not in known.usages:
        return f"{bootstrap_tokens.AUTHENTICATION} is not true"
    return ""
