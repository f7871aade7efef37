"""The flags about an OpenID Connect provider, under Kubernetes' names."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from apiserver.authentication.oidc import ALGORITHMS, OpenIDTokens, Provider
from component_base.credentials import CERTIFICATES
from component_base.flags import option
from component_base.values import FILE, URL, at_least_one, one_of


@dataclass(frozen=True, kw_only=True)
class OpenIDOptions:
    """Whose ID tokens are accepted besides our own, and what they say."""

    oidc_issuer_url: str | None = option(None, "URL of an OpenID Connect provider, with https.", type=URL)
    oidc_client_id: str = option("", "Audience that its tokens must have.")
    oidc_jwks_file: Path | None = option(
        None, "File with the provider's keys (a JSON Web Key Set); without it the provider is asked.", type=FILE
    )
    oidc_ca_file: Path | None = option(
        None, "CA of the provider's certificate; by default those of the host.", type=CERTIFICATES
    )
    oidc_username_claim: str = option("sub", "Claim that names the user.")
    oidc_username_prefix: str | None = option(
        None, "Put before user names; by default the issuer and '#', except for the claim email; '-' for nothing."
    )
    oidc_groups_claim: str = option("", "Claim that names the user's groups.")
    oidc_groups_prefix: str = option("", "Put before the groups' names.")
    oidc_required_claim: dict[str, str] = option("", "Claims that a token must have, with their values.")
    oidc_signing_algs: tuple[str, ...] = option(
        ("RS256",), "Algorithms that its signatures may have.", type=at_least_one(one_of(*ALGORITHMS))
    )

    def tokens(self) -> OpenIDTokens | None:
        """What authenticates the tokens; None without a provider. Raises ValueError if the flags do not fit together."""
        if self.oidc_issuer_url is None:
            return None
        if not self.oidc_issuer_url.startswith("https://"):
            raise ValueError("--oidc-issuer-url must begin with https://")
        if not self.oidc_client_id:
            raise ValueError("--oidc-client-id is required with --oidc-issuer-url")
        provider = Provider(
            issuer=self.oidc_issuer_url,
            client_id=self.oidc_client_id,
            jwks_file=self.oidc_jwks_file,
            username_claim=self.oidc_username_claim,
            username_prefix=self.oidc_username_prefix,
            groups_claim=self.oidc_groups_claim,
            groups_prefix=self.oidc_groups_prefix,
            required_claims=self.oidc_required_claim,
            algorithms=self.oidc_signing_algs,
        )
        authority = str(self.oidc_ca_file) if self.oidc_ca_file is not None else None
        try:
            return OpenIDTokens(provider, ssl.create_default_context(cafile=authority))
        except ValueError as exc:
            raise ValueError(f"--oidc-jwks-file: {exc}") from None
