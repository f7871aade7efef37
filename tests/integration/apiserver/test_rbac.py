"""Roles and bindings on a real apiserver that enforces them: who may do what, who may grant what, what kubectl says."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.processes import free_port
from tests.support import eventually

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
SECRETS = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


@pytest.fixture(scope="module")
def server(shared_etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    """Beside the shared one, on the same etcd, with RBAC."""
    made = ApiserverProcess(tmp_path_factory.mktemp("rbac"), shared_etcd.url, "--authorization-mode=RBAC")
    try:
        asyncio.run(_start(made))
        yield made
    finally:
        made.kill()


async def _start(server: ApiserverProcess) -> None:
    """Return when the default roles are there."""
    await server.start()
    async with server.http("ann") as client:
        await becomes(client, "/api", 200)


@pytest.fixture
async def admin(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as client:
        yield client


@pytest.fixture
async def ann(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http("ann") as client:
        yield client


def ref(kind: str, name: str) -> dict[str, str]:
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def user(name: str) -> dict[str, str]:
    return {"apiGroup": GROUP, "kind": "User", "name": name}


def role(name: str, *rules: Any, kind: str = "Role", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": {"name": name}, "rules": list(rules), **more}


def cluster_role(name: str, *rules: Any, **more: Any) -> dict[str, Any]:
    return role(name, *rules, kind="ClusterRole", **more)


def binding(name: str, role_ref: dict[str, str], *subjects: Any, kind: str = "RoleBinding") -> dict[str, Any]:
    metadata = {"name": name}
    return {
        "kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": metadata, "roleRef": role_ref, "subjects": list(subjects)
    }  # fmt: skip


def of(ns: str, plural: str) -> str:
    """The path of roles or role bindings in a test's namespace."""
    return f"{RBAC}/namespaces/{ns.rsplit('/', 1)[1]}/{plural}"


async def made(client: httpx.AsyncClient, path: str, document: dict[str, Any]) -> None:
    reply = await client.post(path, json=document)
    assert reply.status_code == 201, reply.text


async def becomes(client: httpx.AsyncClient, path: str, code: int) -> None:
    async def answers() -> bool:
        return (await client.get(path)).status_code == code

    await eventually(answers, timeout=10, interval=0.02)


@asynccontextmanager
async def everywhere(admin: httpx.AsyncClient, name: str, *rules: Any) -> AsyncIterator[None]:
    """Ann has the rules in all namespaces, for the block."""
    await made(admin, f"{RBAC}/clusterroles", cluster_role(name, *rules))
    bound = binding(name, ref("ClusterRole", name), user("ann"), kind="ClusterRoleBinding")
    await made(admin, f"{RBAC}/clusterrolebindings", bound)
    try:
        yield
    finally:
        await admin.delete(f"{RBAC}/clusterrolebindings/{name}")
        await admin.delete(f"{RBAC}/clusterroles/{name}")


# -- what is enforced


async def test_a_binding_counts_within_a_second_and_so_does_its_end(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, ns: str
) -> None:
    refused = await ann.get(f"{ns}/pods")
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace '
        f'"{ns.rsplit("/", 1)[1]}"'
    )
    for change in (
        lambda: made(admin, of(ns, "rolebindings"), binding("readers", ref("ClusterRole", "view"), user("ann"))),
        lambda: admin.delete(f"{of(ns, 'rolebindings')}/readers"),
    ):
        before = (await ann.get(f"{ns}/pods")).status_code
        started = time.monotonic()
        await change()
        await becomes(ann, f"{ns}/pods", {200: 403, 403: 200}[before])
        assert time.monotonic() - started < 1


async def test_a_role_ends_at_its_namespace_its_verbs_and_its_names(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, ns: str
) -> None:
    named = {
        "verbs": ["get", "list", "delete"],
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["one"],
    }
    await made(admin, of(ns, "roles"), role("limited", PODS, named))
    await made(admin, of(ns, "rolebindings"), binding("limited", ref("Role", "limited"), user("ann")))
    for name in ("one", "two"):
        await made(admin, f"{ns}/configmaps", {"metadata": {"name": name}})
    await becomes(ann, f"{ns}/pods", 200)
    expected = {
        ("GET", f"{ns}/configmaps/one"): 200,
        ("GET", f"{ns}/configmaps/two"): 403,
        ("GET", f"{ns}/configmaps/none"): 403,  # before it is looked up
        ("GET", f"{ns}/configmaps"): 403,
        ("GET", f"{ns}/configmaps?fieldSelector=metadata.name=one"): 200,
        ("GET", f"{ns}/configmaps?fieldSelector=metadata.name=two"): 403,
        ("DELETE", f"{ns}/configmaps"): 403,
        ("GET", f"{ns}/pods/web"): 404,
        ("GET", f"{ns}/pods/web/log"): 403,
        ("POST", f"{ns}/pods"): 403,
        ("GET", "/api/v1/pods"): 403,
        ("GET", "/api/v1/namespaces/default/pods"): 403,
        ("GET", "/api/v1/nodes"): 403,
        ("DELETE", f"{ns}/configmaps/one"): 200,
    }
    got = {(method, path): (await ann.request(method, path)).status_code for method, path in expected}
    assert got == expected


async def test_paths_that_name_no_resource_follow_their_own_rules(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient
) -> None:
    assert (await ann.get("/metrics")).status_code == 403
    assert (await ann.get("/api")).status_code == 200  # system:discovery
    async with everywhere(admin, "metrics", {"verbs": ["get"], "nonResourceURLs": ["/met*"]}):
        await becomes(ann, "/metrics", 200)
    await becomes(ann, "/metrics", 403)


async def test_an_update_that_creates_needs_the_verb_create(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, ns: str
) -> None:
    await made(
        admin, of(ns, "roles"), role("updater", {**PODS, "verbs": ["get", "patch"], "resources": ["configmaps"]})
    )
    await made(admin, of(ns, "rolebindings"), binding("updater", ref("Role", "updater"), user("ann")))
    await becomes(ann, f"{ns}/configmaps/x", 404)
    applied = await ann.patch(
        f"{ns}/configmaps/x?fieldManager=test",
        headers={"content-type": "application/apply-patch+yaml"},
        content=json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}}),
    )
    assert applied.status_code == 403
    assert 'cannot create resource "configmaps"' in applied.json()["message"]


# -- who may grant what


WRITES = ("create", "put", "put-new", "merge", "json", "strategic", "apply", "apply-new")
TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


async def written(
    client: httpx.AsyncClient, how: str, path: str, document: dict[str, Any], changed: str, *, dry: bool
) -> httpx.Response:
    """Write a document in one of the ways; of an existing one ``changed`` is the field that differs."""
    params, name = {"dryRun": "All"} if dry else {}, document["metadata"]["name"]
    kind = how.partition("-")[0]
    if kind == "create":
        return await client.post(path, params=params, json=document)
    if kind == "put":
        return await client.put(f"{path}/{name}", params=params, json=document)
    body: Any = {changed: document[changed]}
    if kind == "json":
        body = [{"op": "add", "path": f"/{changed}", "value": document[changed]}]
    if kind == "apply":
        body, params = document, {**params, "fieldManager": "test", "force": "true"}
    return await client.patch(
        f"{path}/{name}", params=params, headers={"content-type": TYPES[kind]}, content=json.dumps(body)
    )


@pytest.fixture
async def granter(admin: httpx.AsyncClient, ann: httpx.AsyncClient, ns: str) -> str:
    """Ann may write roles and bindings in a namespace, and read pods there; where her roles are."""
    write = {
        "verbs": ["get", "create", "update", "patch"],
        "apiGroups": [GROUP],
        "resources": ["roles", "rolebindings"],
    }
    await made(admin, of(ns, "roles"), role("granter", write, PODS))
    await made(admin, of(ns, "rolebindings"), binding("granter", ref("Role", "granter"), user("ann")))
    await becomes(ann, f"{of(ns, 'roles')}/granter", 200)
    return ns


@pytest.mark.parametrize("dry", [False, True], ids=["", "dry run"])
@pytest.mark.parametrize("how", WRITES)
async def test_nobody_writes_a_role_with_more_than_they_have(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, granter: str, how: str, dry: bool
) -> None:
    path = of(granter, "roles")
    if how not in ("create", "put-new", "apply-new"):
        await made(admin, path, role("written"))
    refused = await written(ann, how, path, role("written", PODS, SECRETS), "rules", dry=dry)
    assert refused.status_code == 403, refused.text
    assert refused.json()["message"] == (
        'roles.rbac.authorization.k8s.io "written" is forbidden: user "ann" (groups=["system:authenticated"]) is '
        'attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    allowed = await written(ann, how, path, role("written", PODS), "rules", dry=dry)
    assert allowed.status_code in (200, 201), allowed.text


@pytest.mark.parametrize("dry", [False, True], ids=["", "dry run"])
@pytest.mark.parametrize("how", WRITES)
async def test_nobody_binds_a_role_with_more_than_they_have(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, granter: str, how: str, dry: bool
) -> None:
    path = of(granter, "rolebindings")
    await made(admin, of(granter, "roles"), role("readers", PODS))
    for name, of_role in (("written", "cluster-admin"), ("harmless", "readers")):
        kind = "Role" if of_role == "readers" else "ClusterRole"
        if how not in ("create", "put-new", "apply-new"):
            await made(admin, path, binding(name, ref(kind, of_role)))
        reply = await written(ann, how, path, binding(name, ref(kind, of_role), user("ann")), "subjects", dry=dry)
        if name == "written":
            assert reply.status_code == 403, reply.text
            assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in reply.json()["message"]
        else:
            assert reply.status_code in (200, 201), reply.text


def children_of(pid: int) -> str:
    return "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))


async def test_a_role_so_large_that_another_process_reads_it_is_held_to_the_same(
    server: ApiserverProcess, ann: httpx.AsyncClient, granter: str
) -> None:
    many = [{**PODS, "resourceNames": [f"{number:04}"]} for number in range(8000)]
    refused = await ann.post(of(granter, "roles"), json=role("large", *many, SECRETS))
    assert refused.status_code == 403, refused.text
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}' in refused.json()["message"]
    assert (await ann.post(of(granter, "roles"), json=role("large", *many))).status_code == 201
    assert children_of(server.pid), "the apiserver itself has read it"


async def test_the_verbs_escalate_and_bind_allow_it(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, granter: str
) -> None:
    roles, bindings = of(granter, "roles"), of(granter, "rolebindings")
    extra = {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"]}
    bind = {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["edit"]}
    await made(admin, roles, role("more", extra, bind))
    await made(admin, bindings, binding("more", ref("Role", "more"), user("ann")))
    assert (await ann.post(roles, json=role("wide", SECRETS))).status_code == 201
    assert (await ann.post(bindings, json=binding("edit", ref("ClusterRole", "edit"), user("bob")))).status_code == 201
    refused = await ann.post(bindings, json=binding("admin", ref("ClusterRole", "admin"), user("bob")))
    assert refused.status_code == 403


async def test_binding_a_role_that_does_not_exist_is_for_those_who_may_bind_it(
    ann: httpx.AsyncClient, admin: httpx.AsyncClient, granter: str
) -> None:
    document = binding("later", ref("Role", "later"), user("bob"))
    refused = await ann.post(of(granter, "rolebindings"), json=document)
    assert (refused.status_code, refused.json()["message"]) == (
        404,
        'roles.rbac.authorization.k8s.io "later" not found',
    )
    assert (await admin.post(of(granter, "rolebindings"), json=document)).status_code == 201


async def test_a_role_that_holds_too_much_may_be_cleaned_up_but_not_relabelled(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient, granter: str
) -> None:
    path = of(granter, "roles")
    await made(admin, path, role("wide", SECRETS))
    merge = {"content-type": TYPES["merge"]}
    for metadata, code in (({"finalizers": ["x.io/y"]}, 200), ({"finalizers": []}, 200), ({"labels": {"a": "b"}}, 403)):
        reply = await ann.patch(f"{path}/wide", headers=merge, content=json.dumps({"metadata": metadata}))
        assert reply.status_code == code, reply.text


async def test_an_aggregated_role_is_for_those_who_have_everything(
    admin: httpx.AsyncClient, ann: httpx.AsyncClient
) -> None:
    write = {"verbs": ["create", "update"], "apiGroups": [GROUP], "resources": ["clusterroles"]}
    wide = {"clusterRoleSelectors": [{"matchLabels": {"any": "label"}}]}
    async with everywhere(admin, "clusterwriter", write):
        await becomes(ann, f"{RBAC}/clusterroles", 403)
        path = f"{RBAC}/clusterroles"

        async def refused() -> bool:
            reply = await ann.post(path, json=cluster_role("gathered", aggregationRule=wide))
            return "must have cluster-admin privileges to use an aggregationRule" in reply.json()["message"]

        await eventually(refused, timeout=5)
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        async with everywhere(admin, "all", EVERYTHING, paths):
            assert (await ann.post(path, json=cluster_role("gathered", aggregationRule=wide))).status_code == 201
            await admin.delete(f"{path}/gathered")


# -- what reviews and kubectl say


class Kubectl:
    """As a user of the token file."""

    def __init__(self, server: ApiserverProcess, token: str, namespace: str) -> None:
        self._server, self._namespace = server, namespace
        kubeconfig = server.kubeconfig.with_name(f"kubeconfig-{token}")
        document = yaml.safe_load(server.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": token}
        kubeconfig.write_text(json.dumps(document))
        self._environment = {**server.environment(), "KUBECONFIG": str(kubeconfig)}

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """All that it prints."""
        process = await asyncio.to_thread(
            subprocess.run,
            ["kubectl", "-n", self._namespace, *arguments],
            env=self._environment, text=True, input=stdin, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        return process.stdout + process.stderr


async def test_kubectl_says_what_is_enforced(
    server: ApiserverProcess, admin: httpx.AsyncClient, ann: httpx.AsyncClient, ns: str
) -> None:
    named = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]}
    await made(admin, of(ns, "roles"), role("mine", PODS, named))
    await made(admin, of(ns, "rolebindings"), binding("mine", ref("Role", "mine"), user("ann")))
    await becomes(ann, f"{ns}/pods", 200)
    kubectl = Kubectl(server, "ann", ns.rsplit("/", 1)[1])
    answers = {
        ("list", "pods"): "yes",
        ("get", "pods", "--subresource=log"): "no",
        ("get", "configmaps/one"): "yes",
        ("get", "configmaps"): "no",
        ("list", "pods", "-A"): "no",
        ("get", "/api"): "yes",
        ("get", "/metrics"): "no",
    }
    for question, answer in answers.items():
        assert (await kubectl.run("auth", "can-i", *question)).splitlines()[-1].split(" ")[0] == answer, question
    listed = [line.split() for line in (await kubectl.run("auth", "can-i", "--list", "--no-headers")).splitlines()]
    assert ["pods", "[]", "[]", "[get", "list]"] in listed
    assert ["configmaps", "[]", "[one]", "[get]"] in listed
    assert ["[/api]", "[]", "[get]"] in listed
    assert not any(line[0].startswith("*") for line in listed)
    assert "ann" in await kubectl.run("auth", "whoami")


async def test_an_access_review_of_others_is_told_by_which_binding(admin: httpx.AsyncClient, ns: str) -> None:
    await made(admin, of(ns, "rolebindings"), binding("readers", ref("ClusterRole", "view"), user("bob")))
    namespace = ns.rsplit("/", 1)[1]

    def spec(verb: str) -> dict[str, Any]:
        return {"user": "bob", "resourceAttributes": {"namespace": namespace, "verb": verb, "resource": "pods"}}

    async def status(path: str, verb: str) -> dict[str, Any]:
        kind = {"metadata": {"namespace": namespace}} if "namespaces" in path else {}
        reply = await admin.post(f"/apis/authorization.k8s.io/v1{path}", json={**kind, "spec": spec(verb)})
        return dict(reply.json()["status"])

    for path in ("/subjectaccessreviews", f"/namespaces/{namespace}/localsubjectaccessreviews"):
        allowed = {
            "allowed": True,
            "reason": f'RBAC: allowed by RoleBinding "readers/{namespace}" of ClusterRole "view" to User "bob"',
        }

        async def is_allowed(path: str = path, allowed: dict[str, Any] = allowed) -> bool:
            return await status(path, "get") == allowed

        await eventually(is_allowed, timeout=5)
        assert await status(path, "delete") == {"allowed": False}


async def test_kubectl_reconciles_roles_and_bindings(
    server: ApiserverProcess, admin: httpx.AsyncClient, ns: str
) -> None:
    namespace = ns.rsplit("/", 1)[1]
    kubectl = Kubectl(server, "sesame", namespace)
    documents = [role("r", PODS), binding("b", ref("Role", "r"), user("bob"))]
    for document in documents:
        document["metadata"]["namespace"] = namespace
    manifest = json.dumps({"kind": "List", "apiVersion": "v1", "items": documents})
    assert "reconciled" in await kubectl.run("auth", "reconcile", "-f", "-", stdin=manifest)
    documents[0]["rules"] = [SECRETS]
    manifest = json.dumps({"kind": "List", "apiVersion": "v1", "items": documents})
    assert "reconciled" in await kubectl.run("auth", "reconcile", "-f", "-", stdin=manifest)
    rules = (await admin.get(f"{of(ns, 'roles')}/r")).json()["rules"]
    assert len(rules) == 2
    subjects = (await admin.get(f"{of(ns, 'rolebindings')}/b")).json()["subjects"]
    assert [subject["name"] for subject in subjects] == ["bob"]


async def test_while_nothing_stored_is_known_only_the_masters_are_served(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"  # there is no etcd
    server = ApiserverProcess(tmp_path, nowhere, "--authorization-mode=RBAC")

    async def asked(token: str, path: str) -> tuple[int, str]:
        async with server.http(token) as client:
            reply = await client.get(path)
            return reply.status_code, reply.headers.get("retry-after", "")

    async def serves() -> bool:
        try:
            return (await asked("sesame", "/api"))[0] == 200
        except httpx.HTTPError:
            return False

    server.spawn()
    try:
        await eventually(serves, timeout=20)
        for path in ("/api", "/metrics", "/api/v1/pods", "/api/v1/namespaces/default/secrets/x"):
            assert await asked("ann", path) == (503, "1")
    finally:
        server.kill()
