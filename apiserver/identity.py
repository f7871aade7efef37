"""Identities as the flags configure them: the authenticators, the issuer of tokens, and the keys that are published."""

from apimachinery import errors
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node, Pod, Secret, ServiceAccount
from apimachinery.types.objects import KubeObject
from apiserver.authentication.authenticators import X509, Authenticator, TokenFile
from apiserver.authentication.bootstrap_tokens import BootstrapTokens
from apiserver.authentication.front_proxy import Authorities, FrontProxy
from apiserver.authentication.oidc import OpenIDTokens
from apiserver.authentication.service_accounts import Find, ServiceAccountTokens, TokenIssuer
from apiserver.handlers.openid import OpenID
from apiserver.options import IdentityOptions
from apiserver.registry.resources import Resources


def token_issuer(options: IdentityOptions) -> TokenIssuer | None:
    key = options.service_account_signing_key_file
    if key is None:
        return None
    extend = options.service_account_extend_token_expiration
    return TokenIssuer(options.service_account_issuer, key, options.api_audiences, extend=extend)


def authenticators(
    options: IdentityOptions, proxy: FrontProxy | None, provider: OpenIDTokens | None, resources: Resources
) -> list[Authenticator]:
    """In the order in which they are asked."""
    configured: list[Authenticator] = []
    if proxy is not None:
        configured.append(proxy)
    if options.client_ca_file is not None:
        configured.append(X509(Authorities(options.client_ca_file).vouch_for if proxy is not None else None))
    if (key := options.service_account_key_file) is not None:
        issuer = options.service_account_issuer
        configured.append(ServiceAccountTokens(issuer, key, finder(resources), options.api_audiences))
    if options.enable_bootstrap_token_auth:
        configured.append(BootstrapTokens(finder(resources)))
    if provider is not None:
        configured.append(provider)
    if options.token_auth_file is not None:
        configured.append(TokenFile(options.token_auth_file))
    return configured


def openid(options: IdentityOptions, address: str) -> OpenID | None:
    """What others need to verify our tokens; None where there is no key, or no URL at which to publish it."""
    key, issuer = options.service_account_key_file, options.service_account_issuer
    if key is None or not issuer.startswith("https://"):
        return None
    return OpenID(issuer, options.service_account_jwks_uri or f"https://{address}/openid/v1/jwks", key)


def finder(resources: Resources) -> Find:
    """Looks up in its cache what a token may be bound to."""

    def find(type: type[Pod | Node | Secret | ServiceAccount], namespace: str, name: str) -> KubeObject | None:
        store = resources.store(type)
        if not store.is_loaded:
            raise errors.ServiceUnavailable("storage is (re)initializing", retry_after=1)
        return store.cached(Key(namespace, name))

    return find
