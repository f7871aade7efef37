"""Who may ask: the authenticators that the flags ask for, the signer of tokens, and what is published of its keys."""

from typing import Any

from apimachinery import errors
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.authentication import Authenticator
from apiserver.authentication.service_accounts import Find, ServiceAccountTokens, TokenIssuer
from apiserver.authentication.tokens import TokenFile
from apiserver.authentication.x509 import X509
from apiserver.handlers.openid import OpenID
from apiserver.handlers.table import ResourceTable
from apiserver.options import IdentityOptions


def token_issuer(options: IdentityOptions) -> TokenIssuer | None:
    key = options.service_account_signing_key_file
    if key is None:
        return None
    extend = options.service_account_extend_token_expiration
    return TokenIssuer(options.service_account_issuer, key, options.api_audiences, extend=extend)


def authenticators(options: IdentityOptions, table: ResourceTable) -> list[Authenticator]:
    """In the order in which they are asked."""
    found: list[Authenticator] = []
    if options.client_ca_file is not None:
        found.append(X509())
    if (key := options.service_account_key_file) is not None:
        issuer = options.service_account_issuer
        found.append(ServiceAccountTokens(issuer, key, finder(table), options.api_audiences))
    if options.token_auth_file is not None:
        found.append(TokenFile(options.token_auth_file))
    return found


def openid(options: IdentityOptions, address: str) -> OpenID | None:
    """What others need to verify our tokens; nothing where there is no key, or no URL to find it by."""
    key, issuer = options.service_account_key_file, options.service_account_issuer
    if key is None or not issuer.startswith("https://"):
        return None
    return OpenID(issuer, options.service_account_jwks_uri or f"https://{address}/openid/v1/jwks", key)


def finder(table: ResourceTable) -> Find:
    """Looks an object of the core group up in its cache."""

    def find(plural: str, namespace: str, name: str) -> KubeObject | None:
        store: Any = table.find("", "v1", plural)
        if not store.cache.is_loaded:
            raise errors.ServiceUnavailable("storage is (re)initializing", retry_after=1)
        stored = store.cache.get(store.info.storage_key(Key(namespace, name)))
        return stored.object if stored is not None else None

    return find
