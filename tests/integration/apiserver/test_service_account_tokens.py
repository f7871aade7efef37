"""Tokens of service accounts: issued by ``/token``, accepted as who they name, dead with their account."""

from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def keys(directory: Path) -> tuple[Path, Path]:
    key = rsa.generate_private_key(65537, 2048)
    private, public = directory / "sa.key", directory / "sa.pub"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return private, public


async def ask(server: ApiserverProcess, token: str) -> httpx.Response:
    async with server.http() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        return await client.post(WHO, json={"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"})


async def test_a_token_is_who_it_was_issued_to_and_ends_with_the_account(etcd: EtcdServer, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    flags = (f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}")
    server = ApiserverProcess(tmp_path, etcd.url, *flags)
    await server.start()
    try:
        async with server.http() as client:
            assert (await client.post(ACCOUNTS, json={"metadata": {"name": "robot"}})).status_code == 201
            short: dict[str, Any] = {"spec": {"expirationSeconds": 60, "audiences": []}}
            assert (await client.post(f"{ACCOUNTS}/robot/token", json=short)).status_code == 422
            issued = await client.post(f"{ACCOUNTS}/robot/token", json={"spec": {"audiences": []}})
            assert issued.status_code == 201, issued.text
            token = issued.json()["status"]["token"]
            user = (await ask(server, token)).json()["status"]["userInfo"]
            assert user["username"] == "system:serviceaccount:default:robot"
            assert "system:serviceaccounts:default" in user["groups"]
            head, claims, signature = token.split(".")
            forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
            assert (await ask(server, forged)).status_code == 401
            elsewhere = await client.post(f"{ACCOUNTS}/robot/token", json={"spec": {"audiences": ["vault"]}})
            assert (await ask(server, elsewhere.json()["status"]["token"])).status_code == 401
            assert (await client.delete(f"{ACCOUNTS}/robot")).status_code == 200
            assert (await ask(server, token)).status_code == 401
    finally:
        server.kill()
