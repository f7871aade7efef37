"""Ways up from a stolen pod token, and from the rights of a namespace's admin: each is refused, and changes nothing.

The table of a stolen kubelet's attempts is ``test_stolen_kubelet.py``.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.integration.apiserver.objects import created
from tests.integration.apiserver_process import ApiserverProcess

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MINE, OTHER, SYSTEM = (f"/api/v1/namespaces/{name}" for name in ("mine", "other", "kube-system"))
MERGE = {"content-type": "application/merge-patch+json"}
JSON = {"content-type": "application/json"}


class Attempt(NamedTuple):
    """One request that must be refused with 403."""

    what: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] = {}


def role(*rules: dict[str, Any], name: str = "up") -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(kind: str, name: str, who: str = "ann") -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": "up"},
        "roleRef": {"apiGroup": group, "kind": kind, "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": who}],
    }


ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
NODES = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes/proxy"]}
AS = "Impersonate-User"

FROM_BOTH = [
    Attempt("secrets of another namespace", "GET", f"{OTHER}/secrets"),
    Attempt("one secret of another namespace", "GET", f"{OTHER}/secrets/s"),
    Attempt("secrets of all namespaces", "GET", "/api/v1/secrets"),
    Attempt("secrets of all, by an empty namespace", "GET", "/api/v1/namespaces//secrets"),
    Attempt("watching secrets by the old path", "GET", "/api/v1/watch/secrets"),
    Attempt("a token of another namespace", "POST", f"{OTHER}/serviceaccounts/default/token", {}),
    Attempt("a controller's token", "POST", f"{SYSTEM}/serviceaccounts/namespace-controller/token", {}),
    Attempt("a pod elsewhere", "POST", f"{OTHER}/pods", {"metadata": {"name": "p"}, "spec": {"containers": []}}),
    Attempt("exec elsewhere", "POST", f"{OTHER}/pods/p/exec?command=sh"),
    Attempt("exec elsewhere by GET", "GET", f"{OTHER}/pods/p/exec?command=sh"),
    Attempt("a node's kubelet", "GET", "/api/v1/nodes/node-1/proxy/pods"),
    Attempt("a node's status", "PATCH", "/api/v1/nodes/node-1/status", {"status": {}}, MERGE),
    Attempt("a node", "POST", "/api/v1/nodes", {"metadata": {"name": "n"}}),
    Attempt("a volume of the host", "POST", "/api/v1/persistentvolumes", {"metadata": {"name": "v"}}),
    Attempt("the namespace's pod security", "PATCH", MINE, {"metadata": {"labels": {"a": "b"}}}, MERGE),
    Attempt("everything, by a cluster role", "POST", f"{RBAC}/clusterroles", role(ALL)),
    Attempt("everything, by a binding", "POST", f"{RBAC}/clusterrolebindings", binding("ClusterRole", "cluster-admin")),
    Attempt("more rights for an existing role", "PATCH", f"{RBAC}/clusterroles/view", {"rules": [ALL]}, MERGE),
    Attempt("acting as the administrator", "GET", f"{MINE}/pods", headers={AS: "kubernetes-admin"}),
    Attempt(
        "acting as a master", "GET", f"{MINE}/pods", headers={AS: "x", "Impersonate-Group": "system:masters"}
    ),
    Attempt("acting as another account", "GET", f"{OTHER}/pods", headers={AS: "system:serviceaccount:other:default"}),
    Attempt("whatever hooks every write", "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {}),
    Attempt("an approved certificate", "PATCH", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval", {}, MERGE),
    Attempt("reviewing others' tokens", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {}),
    Attempt("the metrics of the server", "GET", "/metrics"),
    Attempt("what does not exist", "GET", "/api/v1/namespaces/none/secrets/x"),
    Attempt("a resource that does not exist", "GET", "/apis/none.example/v1/things"),
]  # fmt: skip

OF_AN_ADMIN = [
    Attempt("cluster-admin here", "POST", f"{RBAC}/namespaces/mine/rolebindings", binding("ClusterRole", "cluster-admin")),
    Attempt("a role with everything here", "POST", f"{RBAC}/namespaces/mine/roles", role(ALL)),
    Attempt("a role about nodes here", "POST", f"{RBAC}/namespaces/mine/roles", role(NODES)),
    Attempt("admin there", "POST", f"{RBAC}/namespaces/other/rolebindings", binding("ClusterRole", "admin")),
    Attempt("more for the own role", "PATCH", f"{RBAC}/namespaces/mine/roles/empty", {"rules": [ALL]}, MERGE),
    Attempt("more by dry run", "POST", f"{RBAC}/namespaces/mine/roles?dryRun=All", role(ALL)),
    Attempt("more by apply", "PATCH", f"{RBAC}/namespaces/mine/roles/up?fieldManager=x",
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", **role(ALL)},
            {"content-type": "application/apply-patch+yaml"}),
    Attempt("the quota", "DELETE", f"{MINE}/resourcequotas/q"),
    Attempt("a larger quota", "PATCH", f"{MINE}/resourcequotas/q", {"spec": {"hard": {"pods": "9"}}}, MERGE),
    Attempt("the limits", "POST", f"{MINE}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": []}}),
    Attempt("binding a pod by hand", "POST", f"{MINE}/pods/p/binding", {"target": {"name": "node-1"}}),
    Attempt("a privileged pod", "POST", f"{MINE}/pods", {
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]},
    }),
    Attempt("the host's files", "POST", f"{MINE}/pods", {
        "metadata": {"name": "files"},
        "spec": {
            "containers": [{"name": "c", "image": "x"}],
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
        },
    }),
    Attempt("the host's network", "POST", f"{MINE}/pods", {
        "metadata": {"name": "net"}, "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "x"}]},
    }),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(guarded: ApiserverProcess) -> ApiserverProcess:
    asyncio.run(prepare(guarded))
    return guarded


async def prepare(server: ApiserverProcess) -> None:
    """What the attempts are about."""
    async with server.http() as admin:
        labels = {"pod-security.kubernetes.io/enforce": "baseline"}
        for name, labelled in (("mine", labels), ("other", {})):
            created(await admin.post("/api/v1/namespaces", json={"metadata": {"name": name, "labels": labelled}}))
            created(
                await admin.post(f"/api/v1/namespaces/{name}/serviceaccounts", json={"metadata": {"name": "default"}})
            )
        created(await admin.post(f"{OTHER}/secrets", json={"metadata": {"name": "s"}, "stringData": {"a": "b"}}))
        created(await admin.post("/api/v1/nodes", json={"metadata": {"name": "node-1"}}))
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5"}}}
        created(await admin.post(f"{MINE}/resourcequotas", json=quota))
        created(await admin.post(f"{RBAC}/namespaces/mine/roles", json=role(name="empty")))
        of_ann = {**binding("ClusterRole", "admin"), "metadata": {"name": "ann"}}
        created(await admin.post(f"{RBAC}/namespaces/mine/rolebindings", json=of_ann))


@pytest.fixture
async def ann(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    """The admin of the namespace ``mine``."""
    async with server.http("ann") as client:
        yield client


@pytest.fixture
async def thief(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Who has stolen the token of a pod, whose account has no role."""
    async with server.http() as admin:
        reply = await admin.post(f"{MINE}/serviceaccounts/default/token", json={})
    async with server.http(reply.json()["status"]["token"]) as client:
        yield client


async def refused(client: httpx.AsyncClient, attempt: Attempt) -> None:
    headers = {**JSON, **attempt.headers}
    reply = await client.request(attempt.method, attempt.path, json=attempt.body, headers=headers)
    assert reply.status_code == 403, reply.text
    assert reply.json()["reason"] == "Forbidden"


@pytest.mark.parametrize("attempt", FROM_BOTH, ids=lambda attempt: attempt.what)
async def test_a_stolen_token_leads_nowhere(thief: httpx.AsyncClient, attempt: Attempt) -> None:
    await refused(thief, attempt)


@pytest.mark.parametrize("attempt", [*FROM_BOTH, *OF_AN_ADMIN], ids=lambda attempt: attempt.what)
async def test_an_admin_stays_in_the_namespace(ann: httpx.AsyncClient, attempt: Attempt) -> None:
    await refused(ann, attempt)


async def test_what_they_may_do_goes_on(ann: httpx.AsyncClient, thief: httpx.AsyncClient) -> None:
    assert (await ann.get(f"{MINE}/secrets")).status_code == 200
    assert (await ann.get("/version")).status_code == 200
    pod = {"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    assert (await ann.post(f"{MINE}/pods?dryRun=All", json=pod)).status_code == 201
    assert (await thief.get("/apis")).status_code == 200
    who = await thief.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={})
    assert who.json()["status"]["userInfo"]["username"] == "system:serviceaccount:mine:default"
