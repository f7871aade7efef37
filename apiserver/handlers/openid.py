"""What others need to verify service accounts' tokens: the issuer's OpenID configuration and its keys (RFC 7517)."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from apiserver.authentication.service_accounts import key_id

_CACHE = {"cache-control": "public, max-age=3600"}


class OpenID:
    """The two documents, made once."""

    def __init__(self, issuer: str, jwks_uri: str, public_key: Path) -> None:
        key: Any = serialization.load_pem_public_key(public_key.read_bytes())
        own = RSAAlgorithm.to_jwk(key, as_dict=True)
        self._keys = {
            "keys": [{"use": "sig", "kty": "RSA", "kid": key_id(key), "alg": "RS256", "n": own["n"], "e": own["e"]}]
        }
        self._configuration = {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def routes(self) -> list[Route]:
        return [
            Route("/.well-known/openid-configuration", self._serve_configuration),
            Route("/openid/v1/jwks", self._serve_keys),
        ]

    async def _serve_configuration(self, request: Request) -> Response:
        return Response(json.dumps(self._configuration), media_type="application/json", headers=_CACHE)

    async def _serve_keys(self, request: Request) -> Response:
        return Response(json.dumps(self._keys), media_type="application/jwk-set+json", headers=_CACHE)
