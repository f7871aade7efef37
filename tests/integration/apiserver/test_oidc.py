"""An apiserver that asks an OpenID Connect provider for its keys, before and after they change."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from component_base.serving import TLS, Server
from tests.certificates import Authority
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.processes import free_port
from tests.support import eventually

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class FakeProvider:
    """A provider on loopback, whose key may be replaced."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "provider-ca")
        pair = self.authority.issue("provider", "provider")
        self.issuer, self.asked = f"https://127.0.0.1:{(port := free_port())}", 0
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        app = Starlette(
            routes=[Route("/.well-known/openid-configuration", self._discovery), Route("/keys", self._published)]
        )
        self.server = Server(app, [("127.0.0.1", port)], tls=TLS(pair.cert, pair.key))

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def _published(self, request: Request) -> Response:
        self.asked += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return JSONResponse({"keys": [{**public, "kid": "key"}]})

    def token(self, **claims: Any) -> str:
        whole = {"iss": self.issuer, "aud": "peapod", "sub": "ann", "exp": time.time() + 60, **claims}
        return jwt.encode(whole, self.key, algorithm="RS256", headers={"kid": "key"})


async def test_a_providers_tokens_are_accepted_once_it_has_answered(etcd: EtcdServer, tmp_path: Path) -> None:
    provider = FakeProvider(tmp_path)
    flags = (
        f"--oidc-issuer-url={provider.issuer}",
        "--oidc-client-id=peapod",
        f"--oidc-ca-file={provider.authority.cert}",
        "--oidc-username-prefix=oidc:",
        "--oidc-groups-claim=groups",
    )
    server = ApiserverProcess(tmp_path, etcd.url, *flags)

    async def who(token: str) -> tuple[int, str]:
        async with server.http(token) as http:
            reply = await http.post(WHO, json={})
            return reply.status_code, reply.text

    try:
        await server.start()
        assert (await who(provider.token()))[0] == 401  # nobody answers there yet
        async with provider.server:

            async def accepted() -> str | None:
                code, text = await who(provider.token(groups=["dev"]))
                return text if code == 201 else None

            text = await eventually(accepted, timeout=30)
            user = json.loads(text)["status"]["userInfo"]
            assert (user["username"], user["groups"]) == ("oidc:ann", ["dev", "system:authenticated"])
            refused, body = await who(provider.token(aud="other"))
            assert refused == 401
            assert "udience" not in body
        assert (await who(provider.token()))[0] == 201, "the last keys count while the provider is away"
        assert (await who("ann"))[0] == 201, "a token of the file is still one"
    finally:
        server.kill()
