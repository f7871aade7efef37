"""Tokens bound to pods, what they say, and how others verify them."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from apimachinery import meta as times
from tests.integration.apiserver.test_service_account_tokens import ask, keys
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

NS = "/api/v1/namespaces/default"
TOKEN = f"{NS}/serviceaccounts/robot/token"
ISSUER = "https://kubernetes.default.svc"


@pytest.fixture
async def server(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[ApiserverProcess]:
    private, public = keys(tmp_path)
    flags = (f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}")
    made = ApiserverProcess(tmp_path, etcd.url, *flags)
    try:
        await made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
async def client(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as made:
        await made.post(f"{NS}/serviceaccounts", json={"metadata": {"name": "robot"}})
        yield made


async def a_pod(client: httpx.AsyncClient, name: str = "a", **spec: Any) -> dict[str, Any]:
    body = {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}], **spec}
    answer = await client.post(f"{NS}/pods", json={"metadata": {"name": name}, "spec": body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def request(client: httpx.AsyncClient, pod: dict[str, Any], seconds: int = 3607, **spec: Any) -> httpx.Response:
    meta = pod["metadata"]
    ref = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    return await client.post(TOKEN, json={"spec": {"boundObjectRef": ref, "expirationSeconds": seconds, **spec}})


async def test_a_token_names_its_pod_and_node_and_warns_before_it_ends(client: httpx.AsyncClient) -> None:
    node = (await client.post("/api/v1/nodes", json={"metadata": {"name": "n1"}})).json()
    pod = await a_pod(client, nodeName="n1")
    status = (await request(client, pod)).json()["status"]
    claims = jwt.decode(status["token"], options={"verify_signature": False})
    private = claims["kubernetes.io"]
    assert private["pod"] == {"name": "a", "uid": pod["metadata"]["uid"]}
    assert private["node"] == {"name": "n1", "uid": node["metadata"]["uid"]}
    assert private["warnafter"] == claims["iat"] + 3607
    assert claims["exp"] == claims["iat"] + 365 * 24 * 3600
    assert claims["aud"] == [ISSUER]
    assert time.time() + 3500 < _seconds(status["expirationTimestamp"]) < time.time() + 3700
    short = (await request(client, pod, seconds=3600)).json()["status"]["token"]
    claims = jwt.decode(short, options={"verify_signature": False})
    assert claims["exp"] == claims["iat"] + 3600
    assert "warnafter" not in claims["kubernetes.io"]


async def test_a_token_tells_of_its_pod_and_ends_with_it(client: httpx.AsyncClient, server: ApiserverProcess) -> None:
    pod = await a_pod(client)
    token = (await request(client, pod)).json()["status"]["token"]
    extra = (await ask(server, token)).json()["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["a"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    assert extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    await client.delete(f"{NS}/pods/a")

    async def refused() -> bool:
        return (await ask(server, token)).status_code == 401

    await eventually(refused)
    await a_pod(client)  # another one under the same name
    assert (await ask(server, token)).status_code == 401
    answer = await request(client, pod)
    assert answer.status_code == 409
    assert "does not match the UID in record" in answer.json()["message"]


async def test_a_token_is_not_issued_for_what_is_not_there(client: httpx.AsyncClient) -> None:
    gone = {"metadata": {"name": "ghost", "uid": "x"}}
    assert (await request(client, gone)).status_code == 404
    other = await a_pod(client, "other", serviceAccountName="somebody")
    answer = await request(client, other)
    assert answer.status_code == 400
    assert "different serviceaccount name" in answer.json()["message"]


async def test_others_verify_tokens_by_the_published_keys(client: httpx.AsyncClient, server: ApiserverProcess) -> None:
    configuration = (await client.get("/.well-known/openid-configuration")).json()
    assert configuration["issuer"] == ISSUER
    assert configuration["jwks_uri"] == f"{server.url}/openid/v1/jwks"
    answer = await client.get("/openid/v1/jwks")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    pod = await a_pod(client)
    token = (await request(client, pod, audiences=["vault"])).json()["status"]["token"]
    published = jwt.PyJWKSet.from_dict(answer.json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key.key, algorithms=["RS256"], audience="vault", issuer=ISSUER)
    assert claims["sub"] == "system:serviceaccount:default:robot"


async def test_a_review_tells_whom_a_token_is_for(client: httpx.AsyncClient) -> None:
    pod = await a_pod(client)
    token = (await request(client, pod, audiences=["vault", "safe"])).json()["status"]["token"]

    async def review(*audiences: str) -> dict[str, Any]:
        body = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}
        body |= {"spec": {"token": token, "audiences": [*audiences]}}  # type: ignore[dict-item]
        answer = await client.post("/apis/authentication.k8s.io/v1/tokenreviews", json=body)
        status: dict[str, Any] = answer.json()["status"]
        return status

    assert (await review("vault", "bank"))["audiences"] == ["vault"]
    assert not (await review("bank")).get("authenticated")
    assert not (await review()).get("authenticated")


async def test_a_token_that_was_known_is_refused_once_it_is_altered(
    client: httpx.AsyncClient, server: ApiserverProcess
) -> None:
    pod = await a_pod(client)
    token = (await request(client, pod)).json()["status"]["token"]
    assert (await ask(server, token)).status_code == 201
    head, claims, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=="))
    content["kubernetes.io"]["namespace"] = "kube-system"
    altered = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    assert (await ask(server, f"{head}.{altered}.{signature}")).status_code == 401
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert (await ask(server, f"{none}.{claims}.")).status_code == 401
    assert (await ask(server, token)).status_code == 201


async def test_a_signed_token_with_claims_of_another_form_is_refused(
    client: httpx.AsyncClient, server: ApiserverProcess, tmp_path: Path
) -> None:
    pod = await a_pod(client)
    good = jwt.decode((await request(client, pod)).json()["status"]["token"], options={"verify_signature": False})
    assert (await ask(server, _signed(tmp_path, good))).status_code == 201
    private = good["kubernetes.io"]
    wrong: list[dict[str, Any]] = [
        {"kubernetes.io": "x"},
        {"kubernetes.io": None},
        {"kubernetes.io": {**private, "serviceaccount": "robot"}},
        {"kubernetes.io": {**private, "pod": ["p"]}},
        {"kubernetes.io": {**private, "namespace": {}}},
        {"kubernetes.io": {"namespace": "default"}},
        {"aud": [{}]},
        {"aud": 5},
        {"jti": {}},
        {"exp": float("inf")},
    ]
    for claims in wrong:
        assert (await ask(server, _signed(tmp_path, {**good, **claims}))).status_code == 401, claims


def _signed(directory: Path, claims: dict[str, Any]) -> str:
    """A token that is signed with the server's own key."""
    return jwt.encode(claims, (directory / "sa.key").read_bytes(), algorithm="RS256")


def _seconds(text: str) -> float:
    return times.parse_time(text).timestamp()
