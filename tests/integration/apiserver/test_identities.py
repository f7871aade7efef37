"""Every identity of a cluster against a real apiserver with Node,RBAC: what each is answered, as a table."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.certificates import Authority, KeyPair
from tests.integration.apiserver.objects import created
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.support import eventually

NS = "/api/v1/namespaces/default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMED = {"metadata": {"name": "new"}}
POD = {**NAMED, "spec": {"containers": [{"name": "c", "image": "x"}]}}

REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "version": ("GET", "/version", None),
    "healthz": ("GET", "/healthz", None),
    "apis": ("GET", "/apis", None),
    "metrics": ("GET", "/metrics", None),
    "pods": ("GET", f"{NS}/pods", None),
    "secrets": ("GET", f"{NS}/secrets", None),
    "+map": ("POST", f"{NS}/configmaps?dryRun=All", NAMED),
    "+pod": ("POST", f"{NS}/pods?dryRun=All", POD),
    "-pods": ("DELETE", f"{NS}/pods?dryRun=All", None),
    "nodes": ("GET", "/api/v1/nodes", None),
    "node-1": ("GET", "/api/v1/nodes/node-1", None),
    "leases": ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", None),
    "+role": ("POST", f"{RBAC}/clusterroles?dryRun=All", NAMED),
}

TABLE = """
                       version healthz apis metrics pods secrets +map +pod -pods nodes node-1 leases +role
anonymous              200     200     403  403     403  403     403  403  403   403   403    403    403
an unknown token       401     401     401  401     401  401     401  401  401   401   401    401    401
an expired certificate 401     401     401  401     401  401     401  401  401   401   401    401    401
another authority's    TLS     TLS     TLS  TLS     TLS  TLS     TLS  TLS  TLS   TLS   TLS    TLS    TLS
admin                  200     200     200  200     200  200     201  201  200   200   200    200    201
view                   200     200     200  403     200  403     403  403  403   403   403    403    403
edit                   200     200     200  403     200  200     201  201  200   403   403    403    403
an account             200     200     200  403     403  403     403  403  403   403   403    403    403
an account with view   200     200     200  403     200  403     403  403  403   403   403    403    403
a deleted account      401     401     401  401     401  401     401  401  401   401   401    401    401
another audience       401     401     401  401     401  401     401  401  401   401   401    401    401
node-1                 200     200     200  403     403  403     403  403  403   200   200    403    403
node-2                 200     200     200  403     403  403     403  403  403   200   200    403    403
a node without a group 200     200     200  403     403  403     403  403  403   403   403    403    403
scheduler              200     200     200  403     200  403     403  403  403   200   200    403    403
controller manager     200     200     200  403     200  200     403  403  403   200   403    200    403
proxy                  200     200     200  403     200  403     403  403  403   200   200    403    403
the apiserver          200     200     200  200     403  403     403  403  403   200   200    403    403
replication            200     200     200  403     200  403     403  201  403   403   403    403    403
namespaces             200     200     200  403     200  200     403  403  200   200   200    200    403
garbage collector      200     200     200  403     200  200     403  403  403   200   200    200    403
nodes                  200     200     200  403     200  403     403  403  403   200   200    403    403
endpoints              200     200     200  403     200  403     403  403  403   403   403    403    403
"""

USERS = {"view": "ann", "edit": "bob"}
CERTIFICATES = {
    "node-1": ("system:node:node-1", ("system:nodes",)),
    "node-2": ("system:node:node-2", ("system:nodes",)),
    "a node without a group": ("system:node:node-1", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "controller manager": ("system:kube-controller-manager", ()),
    "proxy": ("system:kube-proxy", ()),
    "the apiserver": ("kube-apiserver-kubelet-client", ()),
}
CONTROLLERS = {
    "replication": "replication-controller",
    "namespaces": "namespace-controller",
    "garbage collector": "generic-garbage-collector",
    "nodes": "node-controller",
    "endpoints": "endpoint-controller",
}


def rows() -> Iterator[tuple[str, list[str]]]:
    """Each identity, and what it is answered, in the order of ``REQUESTS``."""
    for line in TABLE.strip("\n").splitlines()[1:]:
        *name, answers = line[:23], line[23:].split()
        yield name[0].strip(), answers


class Cluster:
    """The apiserver, and what each identity shows it."""

    def __init__(self, server: ApiserverProcess, foreign: Authority) -> None:
        self.server, self._foreign = server, foreign
        self._tokens = {"admin": TOKEN, "an unknown token": "nobody's", **USERS}

    async def prepare(self) -> None:
        async with self.server.http() as admin:
            for name in ("plain", "viewer", "gone"):
                created(await admin.post(f"{NS}/serviceaccounts", json={"metadata": {"name": name}}))
            for name in CONTROLLERS.values():
                created(
                    await admin.post(
                        "/api/v1/namespaces/kube-system/serviceaccounts", json={"metadata": {"name": name}}
                    )
                )
            created(await admin.post("/api/v1/nodes", json={"metadata": {"name": "node-1"}}))
            account = {"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}
            subjects = {"ann": "view", "bob": "edit"}
            for user, role in subjects.items():
                await self._bind(admin, role, {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user})
            await self._bind(admin, "view", account)
            self._tokens |= {
                "an account": await self._token(admin, "default", "plain"),
                "an account with view": await self._token(admin, "default", "viewer"),
                "a deleted account": await self._token(admin, "default", "gone"),
                "another audience": await self._token(admin, "default", "plain", audiences=["vault"]),
            }
            for identity, name in CONTROLLERS.items():
                self._tokens[identity] = await self._token(admin, "kube-system", name)
            await admin.delete(f"{NS}/serviceaccounts/gone")

    async def _bind(self, admin: httpx.AsyncClient, role: str, subject: dict[str, str]) -> None:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        document = {"metadata": {"name": subject["name"]}, "roleRef": reference, "subjects": [subject]}
        created(await admin.post(f"{RBAC}/namespaces/default/rolebindings", json=document))

    async def _token(self, admin: httpx.AsyncClient, namespace: str, name: str, **spec: Any) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token: str = created(await admin.post(path, json={"spec": spec}))["status"]["token"]
        return token

    def client(self, identity: str) -> httpx.AsyncClient:
        tls, headers = self.server.ssl_context(), {}
        if identity in self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens[identity]}"
        if (pair := self._pair(identity)) is not None:
            tls.load_cert_chain(pair.cert, pair.key)
        return httpx.AsyncClient(base_url=self.server.url, verify=tls, headers=headers, timeout=30.0)

    def _pair(self, identity: str) -> KeyPair | None:
        if identity == "another authority's":
            return self._foreign.issue("foreign", "admin", ("system:masters",))
        if identity not in CERTIFICATES:
            return None
        name, groups = CERTIFICATES[identity]
        return self.server.authority.issue(identity.replace(" ", "-"), name, groups)


@pytest.fixture(scope="module")
def cluster(guarded: ApiserverProcess, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    cluster = Cluster(guarded, Authority(tmp_path_factory.mktemp("foreign"), "foreign-ca"))
    asyncio.run(cluster.prepare())
    return cluster


async def answers(client: httpx.AsyncClient) -> list[str]:
    codes = []
    for method, path, body in REQUESTS.values():
        try:
            codes.append(str((await client.request(method, path, json=body)).status_code))
        except (httpx.HTTPError, ssl.SSLError):
            codes.append("TLS")
    return codes


@pytest.mark.parametrize(
    ("identity", "expected"),
    [row for row in rows() if row[0] != "an expired certificate"],
    ids=[name for name, _ in rows() if name != "an expired certificate"],
)
async def test_what_an_identity_is_answered(cluster: Cluster, identity: str, expected: list[str]) -> None:
    async with cluster.client(identity) as client:
        assert dict(zip(REQUESTS, await answers(client), strict=True)) == dict(zip(REQUESTS, expected, strict=True))


async def test_a_certificate_that_has_expired_on_its_connection_is_nobodys(cluster: Cluster) -> None:
    """A new connection with it would not even pass the handshake."""
    pair = cluster.server.authority.issue("brief", "admin", ("system:masters",), life=timedelta(seconds=3))
    tls = cluster.server.ssl_context()
    tls.load_cert_chain(pair.cert, pair.key)
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=cluster.server.url, verify=tls, limits=limits) as client:
        assert (await client.get("/version")).status_code == 200

        async def is_refused() -> bool:
            return (await client.get("/version")).status_code == 401

        await eventually(is_refused, timeout=15)
        assert await answers(client) == dict(rows())["an expired certificate"]
