"""Each new pod runs as a service account, and is given its token; with a controller manager and without."""

import asyncio
import base64
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.test_service_account_tokens import keys
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

API = "/api/v1/namespaces"
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
ALL_PLUGINS = "--disable-admission-plugins="


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


@pytest.fixture
async def server(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[ApiserverProcess]:
    private, public = keys(tmp_path)
    flags = (f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}", ALL_PLUGINS)
    made = ApiserverProcess(tmp_path, etcd.url, *flags)
    try:
        await made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
async def client(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as made:
        yield made


@pytest.fixture
async def controllers(
    server: ApiserverProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[DaemonProcess]:
    """With the flags that a test asks for."""
    flags = (
        f"--root-ca-file={server.authority.cert}",
        f"--service-account-private-key-file={tmp_path / 'sa.key'}",
        *getattr(request, "param", ()),
    )
    process = DaemonProcess(tmp_path, "controller_manager", server.kubeconfig, *flags)
    try:
        await process.start()
        yield process
    finally:
        process.stop()


async def account(client: httpx.AsyncClient, name: str = "default", **fields: Any) -> None:
    answer = await client.post(f"{API}/default/serviceaccounts", json={"metadata": {"name": name}, **fields})
    assert answer.status_code == 201, answer.text


async def create(client: httpx.AsyncClient, body: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
    answer = await client.post(f"{API}/{namespace}/pods", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_pod_of_an_unknown_account_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{API}/default/pods", json=pod("a", serviceAccountName="ghost"))
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods "a" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found'
    )
    began = asyncio.get_running_loop().time()
    answer = await client.post(f"{API}/default/pods", json=pod("a"))
    assert answer.status_code == 403
    assert 'serviceaccount "default" not found' in answer.json()["message"]
    assert asyncio.get_running_loop().time() - began > 1, "the default account is waited for"


async def test_a_pod_is_given_its_accounts_token_and_pull_secrets(client: httpx.AsyncClient) -> None:
    await account(client, imagePullSecrets=[{"name": "regcred"}])
    both = {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "first", "image": "i"}]}
    spec = (await create(client, pod("a", **both)))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["imagePullSecrets"] == [{"name": "regcred"}]
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    token, authority, namespace = volume["projected"]["sources"]
    assert token["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
    assert authority["configMap"]["name"] == "kube-root-ca.crt"
    assert namespace["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.namespace"
    assert volume["projected"]["defaultMode"] == 0o644
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": MOUNT, "readOnly": True}]


async def test_who_wants_no_token_gets_none(client: httpx.AsyncClient) -> None:
    await account(client, automountServiceAccountToken=False)
    assert "volumes" not in (await create(client, pod("by-account")))["spec"]
    assert "volumes" in (await create(client, pod("pod-knows-better", automountServiceAccountToken=True)))["spec"]
    await account(client, "other")
    own = pod("own", serviceAccountName="other", automountServiceAccountToken=False)
    assert "volumes" not in (await create(client, own))["spec"]
    mine = {"name": "mine", "emptyDir": {}}
    mounted = [{"name": "c", "image": "i", "volumeMounts": [{"name": "mine", "mountPath": MOUNT}]}]
    made = await create(client, pod("mounted", serviceAccountName="other", volumes=[mine], containers=mounted))
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["mine"]


async def test_a_mirror_pod_has_no_account(client: httpx.AsyncClient) -> None:
    mirror = pod("mirror", nodeName="n")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert "serviceAccountName" not in (await create(client, mirror))["spec"]
    mirror["metadata"]["name"], mirror["spec"]["serviceAccountName"] = "second", "default"
    answer = await client.post(f"{API}/default/pods", json=mirror)
    assert answer.status_code == 403
    assert "a mirror pod may not reference service accounts" in answer.json()["message"]


async def test_a_new_namespace_takes_pods_at_once(client: httpx.AsyncClient, controllers: DaemonProcess) -> None:
    async def ready() -> bool:
        return (await client.get(f"{API}/default/serviceaccounts/default")).status_code == 200

    await eventually(ready, timeout=20)
    for number in range(5):
        name = f"fresh-{number}"
        assert (await client.post(API, json={"metadata": {"name": name}})).status_code == 201
        await create(client, pod("a"), name)


async def test_accounts_and_the_authority_come_back(
    client: httpx.AsyncClient, server: ApiserverProcess, controllers: DaemonProcess
) -> None:
    async def bundle(namespace: str) -> str:
        answer = await client.get(f"{API}/{namespace}/configmaps/kube-root-ca.crt")
        return answer.json()["data"]["ca.crt"] if answer.status_code == 200 else ""

    wanted = server.authority.cert.read_text()
    for namespace in ("default", "kube-system"):
        await eventually(lambda where=namespace: _is(bundle(where), wanted), timeout=20)
    patch = {"data": {"ca.crt": "other", "more": "x"}}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{API}/default/configmaps/kube-root-ca.crt"
    assert (await client.patch(path, json=patch, headers=headers)).status_code == 200
    await eventually(lambda: _is(bundle("default"), wanted))
    assert (await client.delete(path)).status_code == 200
    await eventually(lambda: _is(bundle("default"), wanted))
    was = (await client.get(f"{API}/default/serviceaccounts/default")).json()["metadata"]["uid"]
    await client.delete(f"{API}/default/serviceaccounts/default")

    async def again() -> bool:
        answer = await client.get(f"{API}/default/serviceaccounts/default")
        return answer.status_code == 200 and answer.json()["metadata"]["uid"] != was

    await eventually(again)


async def test_a_token_secret_is_filled_and_goes_with_its_account(
    client: httpx.AsyncClient, server: ApiserverProcess, controllers: DaemonProcess
) -> None:
    await account(client, "robot")
    secret = {
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token",
    }
    assert (await client.post(f"{API}/default/secrets", json=secret)).status_code == 201
    path = f"{API}/default/secrets/robot-token"

    async def filled() -> dict[str, str] | None:
        data: dict[str, str] = (await client.get(path)).json().get("data", {})
        return data if {"token", "ca.crt", "namespace"} <= data.keys() else None

    data = await eventually(filled, timeout=20)
    assert data is not None
    token = _decoded(data["token"])
    assert _decoded(data["namespace"]) == "default"
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}

    async def who() -> httpx.Response:
        async with server.http() as other:
            other.headers["Authorization"] = f"Bearer {token}"
            return await other.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review)

    assert (await who()).json()["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    await client.delete(f"{API}/default/serviceaccounts/robot")
    await eventually(lambda: _is_status(client.get(path), 404))
    assert (await who()).status_code == 401


async def _is(value: Any, wanted: str) -> bool:
    return bool(await value == wanted)


async def _is_status(answer: Any, wanted: int) -> bool:
    return bool((await answer).status_code == wanted)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


async def test_an_account_may_limit_the_secrets_of_its_pods(client: httpx.AsyncClient) -> None:
    limit = {"name": "limited", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    fields = {"metadata": limit, "secrets": [{"name": "mine"}]}
    assert (await client.post(f"{API}/default/serviceaccounts", json=fields)).status_code == 201

    def naming(name: str, secret: str) -> dict[str, Any]:
        volume = {"name": "v", "secret": {"secretName": secret}}
        return pod(name, serviceAccountName="limited", volumes=[volume])

    answer = await client.post(f"{API}/default/pods", json=naming("a", "other"))
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods "a" is forbidden: volume with secret.secretName="other" is not allowed because service account limited '
        "does not reference that secret"
    )
    await create(client, naming("b", "mine"))
    debugger = {"name": "d", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}
    answer = await client.patch(
        f"{API}/default/pods/b/ephemeralcontainers",
        json={"spec": {"ephemeralContainers": [debugger]}},
        headers={"Content-Type": "application/strategic-merge-patch+json"},
    )
    assert answer.status_code == 403
    assert "ephemeral container d with envFrom referencing" in answer.json()["message"]


async def test_without_a_signer_a_pod_has_an_account_and_no_token(etcd: EtcdServer, tmp_path: Path) -> None:
    server = ApiserverProcess(tmp_path, etcd.url, ALL_PLUGINS)
    await server.start()
    try:
        async with server.http() as client:
            await account(client)
            spec = (await create(client, pod("a")))["spec"]
            assert spec["serviceAccountName"] == "default"
            assert "volumes" not in spec
    finally:
        server.kill()


async def test_an_unknown_plugin_is_reported_with_its_flag(etcd: EtcdServer, tmp_path: Path) -> None:
    server = ApiserverProcess(tmp_path, etcd.url, "--disable-admission-plugins=Nonsense")
    server.spawn()
    await eventually(lambda: "--disable-admission-plugins" in server.log.read_text())
    assert "must be one of NamespaceLifecycle, LimitRanger, ServiceAccount, " in server.log.read_text()
    server.kill()


@pytest.mark.parametrize("controllers", [("--legacy-service-account-token-secrets",)], indirect=True)
@pytest.mark.usefixtures("controllers")
async def test_each_account_gets_a_token_secret_where_that_is_asked_for(client: httpx.AsyncClient) -> None:
    accounts, secrets = f"{API}/default/serviceaccounts", f"{API}/default/secrets"

    async def names() -> list[str]:
        answer = await client.get(f"{accounts}/default")
        return [reference["name"] for reference in answer.json().get("secrets", ())]

    async def is_filled(name: str) -> bool:
        answer = await client.get(f"{secrets}/{name}")
        return answer.status_code == 200 and "token" in answer.json().get("data", {})

    [first] = await eventually(names)
    assert first.startswith("default-token-")
    await eventually(partial(is_filled, first))
    await client.delete(f"{secrets}/{first}")

    async def has_another() -> bool:
        return len(await names()) == 2 and await is_filled((await names())[1])

    await eventually(has_another)
    made = [secret["metadata"]["name"] for secret in (await client.get(secrets)).json()["items"]]
    assert made == (await names())[1:]
