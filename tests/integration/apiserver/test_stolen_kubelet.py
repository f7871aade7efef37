"""What somebody can do with the certificate of node-1's kubelet: that kubelet's work, and nothing beyond node-1.

The table below are attempts to get from there to other nodes' secrets, tokens, pods and names, each refused; after all of
them, what they were about is as it was. On a real apiserver with --authorization-mode=Node,RBAC and NodeRestriction.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually

NS = "/api/v1/namespaces/stolen"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MERGE, STRATEGIC, APPLY = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
CIDR = "10.77.2.0/24"
ADDRESSES = {"node-1": "192.0.2.1", "node-2": "192.0.2.2"}


@pytest.fixture(scope="module")
def server(guarded: ApiserverProcess) -> ApiserverProcess:
    asyncio.run(prepare(guarded))
    return guarded


def client_of(server: ApiserverProcess, name: str) -> httpx.AsyncClient:
    """The API as the kubelet of a node."""
    pair = server.authority.issue(f"client-{name}", f"system:node:{name}", ("system:nodes",))
    context = server.ssl_context()
    context.load_cert_chain(pair.cert, pair.key)
    return httpx.AsyncClient(base_url=server.url, verify=context, timeout=30.0)


async def prepare(server: ApiserverProcess) -> None:
    """Two registered nodes, and on each a pod with an account, a secret, a config map, a claim and its volume."""
    async with server.http() as admin:
        await create(admin, "/api/v1/namespaces", name="stolen")
        for node in ADDRESSES:
            await register(server, admin, node)
            for kind in ("serviceaccounts", "secrets", "configmaps"):
                await create(admin, f"{NS}/{kind}", name=f"of-{node}")
            claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            await create(admin, f"{NS}/persistentvolumeclaims", name=f"of-{node}", spec=claim)
            volume = {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/x"},
                "claimRef": {"namespace": "stolen", "name": f"of-{node}"},
            }
            await create(admin, "/api/v1/persistentvolumes", name=f"of-{node}", spec=volume)
            await create(admin, f"{NS}/pods", name=f"on-{node}", spec=pod_spec(node))
        await create(admin, f"{NS}/pods", name="waiting", spec={"containers": [{"name": "c", "image": "i"}]})


def pod_spec(node: str) -> dict[str, Any]:
    volumes = [
        {"name": "s", "secret": {"secretName": f"of-{node}"}},
        {"name": "c", "configMap": {"name": f"of-{node}"}},
        {"name": "p", "persistentVolumeClaim": {"claimName": f"of-{node}"}},
    ]
    containers = [{"name": "c", "image": "i"}]
    return {"nodeName": node, "serviceAccountName": f"of-{node}", "containers": containers, "volumes": volumes}


async def register(server: ApiserverProcess, admin: httpx.AsyncClient, node: str) -> None:
    """As a kubelet does, with its own certificate; its range of pods is the control plane's to give."""
    async with client_of(server, node) as kubelet:
        taints = [{"key": "example.com/dedicated", "effect": "NoSchedule"}]
        labels = {"kubernetes.io/hostname": node, "zone": "a"}
        document = {"metadata": {"name": node, "labels": labels}, "spec": {"taints": taints}}
        answer = await kubelet.post("/api/v1/nodes", json=document)
        assert answer.status_code == 201, answer.text
        status = {"addresses": [{"type": "InternalIP", "address": ADDRESSES[node]}]}
        await patch(kubelet, f"/api/v1/nodes/{node}/status", {"status": status}, STRATEGIC)
        lease = {"metadata": {"name": node}, "spec": {"holderIdentity": node}}
        assert (await kubelet.post(LEASES, json=lease)).status_code == 201
    if node == "node-2":  # the other one waits for its range
        await patch(admin, f"/api/v1/nodes/{node}", {"spec": {"podCIDR": CIDR, "podCIDRs": [CIDR]}})


async def create(http: httpx.AsyncClient, path: str, *, name: str, **parts: Any) -> None:
    answer = await http.post(path, json={"metadata": {"name": name}, **parts})
    assert answer.status_code == 201, answer.text


async def patch(http: httpx.AsyncClient, path: str, body: Any, kind: str = MERGE) -> Any:
    answer = await http.patch(path, json=body, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def admin(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as client:
        yield client


@pytest.fixture
async def kubelet(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Of node-1."""
    async with client_of(server, "node-1") as client:
        yield client


class Attempt(NamedTuple):
    """One request of the thief, and a part of the reason why it is refused."""

    method: str
    path: str
    body: Any = None
    why: str = ""
    kind: str = MERGE
    headers: dict[str, str] = {}


def owner(name: str, uid: str = "{uid:node-1}") -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": True}]


def mirror(owners: list[dict[str, Any]], node: str = "node-1", **spec: Any) -> dict[str, Any]:
    metadata = {
        "name": "mirror",
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": owners,
    }
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], **spec}}


def token(name: str = "", uid: str = "") -> dict[str, Any]:
    bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}} if name else {}
    return {"spec": bound}


def signing_request(name: str, *groups: str) -> str:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder(x509.Name(attributes)).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def csr(name: str, *groups: str, signer: str = "kubernetes.io/kube-apiserver-client-kubelet") -> dict[str, Any]:
    usages = ["digital signature", "client auth"]
    spec = {"request": signing_request(name, *groups), "signerName": signer, "usages": usages}
    return {"metadata": {"generateName": "stolen-"}, "spec": spec}


def addresses(*texts: str) -> dict[str, Any]:
    return {"status": {"addresses": [{"type": "InternalIP", "address": text} for text in texts]}}


UNRELATED = "no relationship found between node 'node-1' and this object"
TOKENS = f"{NS}/serviceaccounts/of-node-1/token"
ATTEMPTS = {
    # -- secrets and the like
    "another node's secret": Attempt("GET", f"{NS}/secrets/of-node-2", why=UNRELATED),
    "all secrets of a namespace": Attempt("GET", f"{NS}/secrets", why="No Object name found"),
    "all secrets": Attempt("GET", "/api/v1/secrets", why="can only read namespaced object of this type"),
    "a watch of all secrets": Attempt("GET", f"{NS}/secrets?watch=1", why="No Object name found"),
    "an old watch of another's secret": Attempt(
        "GET", "/api/v1/watch/namespaces/stolen/secrets/of-node-2", why=UNRELATED
    ),
    "another node's config map": Attempt("GET", f"{NS}/configmaps/of-node-2", why=UNRELATED),
    "another node's volume": Attempt("GET", "/api/v1/persistentvolumes/of-node-2", why=UNRELATED),
    "another secret for its own pod": Attempt(
        "PATCH", f"{NS}/secrets/of-node-1", {"data": {}}, "can only read resources of this type"
    ),
    # -- tokens
    "a token of another node's account": Attempt(
        "POST", f"{NS}/serviceaccounts/of-node-2/token", token("on-node-2", "{uid:on-node-2}"), UNRELATED
    ),
    "a token that is bound to nothing": Attempt("POST", TOKENS, token(), "node requested token not bound to a pod"),
    "a token bound to another node's pod": Attempt(
        "POST", TOKENS, token("on-node-2", "{uid:on-node-2}"), "bound to a pod scheduled on a different node"
    ),
    "a token for any pod of the name": Attempt("POST", TOKENS, token("on-node-1"), "pod binding without a uid"),
    "a token for a pod that was": Attempt(
        "POST", TOKENS, token("on-node-1", "other"), "does not match the UID in record"
    ),
    # -- nodes
    "another node's labels": Attempt(
        "PATCH", "/api/v1/nodes/node-2", {"metadata": {"labels": {"zone": "b"}}}, 'not allowed to modify node "node-2"'
    ),
    "another node's status": Attempt(
        "PATCH", "/api/v1/nodes/node-2/status", addresses("192.0.2.1"), 'not allowed to modify node "node-2"'
    ),
    "a node of its own making": Attempt("POST", "/api/v1/nodes", {"metadata": {"name": "node-9"}}, "node-9"),
    "a node made by an apply": Attempt(
        "PATCH", "/api/v1/nodes/node-9?fieldManager=x", {"apiVersion": "v1", "kind": "Node"}, "node-9", APPLY
    ),
    "its taints": Attempt("PATCH", "/api/v1/nodes/node-1", {"spec": {"taints": None}}, "not allowed to modify taints"),
    "a restricted label": Attempt(
        "PATCH",
        "/api/v1/nodes/node-1",
        {"metadata": {"labels": {"node-restriction.kubernetes.io/vault": "true"}}},
        "is not allowed to modify labels: node-restriction.kubernetes.io/vault",
    ),
    "a role": Attempt(
        "PATCH",
        "/api/v1/nodes/node-1/status",
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
        "is not allowed to modify labels: node-role.kubernetes.io/control-plane",
    ),
    "a deletion of its node by an owner": Attempt(
        "PATCH", "/api/v1/nodes/node-1", {"metadata": {"ownerReferences": owner("gone", "x")}}, "modify ownerReferences"
    ),
    "a deletion of a node": Attempt("DELETE", "/api/v1/nodes/node-2"),
    "another node's range of pods": Attempt(
        "PATCH", "/api/v1/nodes/node-1", {"spec": {"podCIDR": CIDR}}, "not allowed to set its podCIDR"
    ),
    "another node's address": Attempt(
        "PATCH", "/api/v1/nodes/node-1/status", addresses("192.0.2.2"), "it is that of node node-2"
    ),
    "a service's address": Attempt(
        "PATCH", "/api/v1/nodes/node-1/status", addresses("192.0.2.1", "10.0.0.1"), "it is in the range of services"
    ),
    "a pod's address": Attempt(
        "PATCH", "/api/v1/nodes/node-1/status", addresses("10.77.2.5"), "it is in the pod CIDR of node node-2"
    ),
    "another kubelet by proxy": Attempt("GET", "/api/v1/nodes/node-2/proxy/pods"),
    # -- pods
    "a pod that names a secret": Attempt(
        "POST",
        f"{NS}/pods",
        {"metadata": {"name": "thief"}, "spec": pod_spec("node-1")},
        "can only create mirror pods",
    ),
    "a mirror pod with a secret": Attempt(
        "POST",
        f"{NS}/pods",
        mirror(owner("node-1"), volumes=[{"name": "s", "secret": {"secretName": "of-node-2"}}]),
        "secrets",
    ),
    "a mirror pod with a claim": Attempt(
        "POST",
        f"{NS}/pods",
        mirror(owner("node-1"), volumes=[{"name": "p", "persistentVolumeClaim": {"claimName": "of-node-2"}}]),
        "can not create pods that reference persistentvolumeclaims",
    ),
    "a mirror pod with an account": Attempt(
        "POST", f"{NS}/pods", mirror(owner("node-1"), serviceAccountName="of-node-2"), "service account"
    ),
    "a mirror pod elsewhere": Attempt(
        "POST", f"{NS}/pods", mirror(owner("node-1"), "node-2"), "can only create pods with spec.nodeName set to itself"
    ),
    "a mirror pod of another node's": Attempt(
        "POST", f"{NS}/pods", mirror(owner("node-2", "{uid:node-2}")), "with an owner reference set to itself"
    ),
    "a mirror pod of a node that was": Attempt("POST", f"{NS}/pods", mirror(owner("node-1", "x")), "UID mismatch"),
    "another node's pod": Attempt("GET", f"{NS}/pods/on-node-2", why=UNRELATED),
    "all pods": Attempt("GET", "/api/v1/pods", why="can only list/watch pods with spec.nodeName field selector"),
    "another node's pods": Attempt(
        "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-2", why="with spec.nodeName field selector"
    ),
    "a deletion of another's pod": Attempt(
        "DELETE", f"{NS}/pods/on-node-2", why="can only delete pods with spec.nodeName set to itself"
    ),
    "a deletion of all pods": Attempt("DELETE", f"{NS}/pods"),
    "an eviction of another's pod": Attempt(
        "POST",
        f"{NS}/pods/on-node-2/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "on-node-2"}},
        "can only evict pods with spec.nodeName set to itself",
    ),
    "another pod's status": Attempt(
        "PATCH",
        f"{NS}/pods/on-node-2/status",
        {"status": {"phase": "Failed"}},
        "can only update pod status for pods with spec.nodeName set to itself",
    ),
    "a label that a service selects": Attempt(
        "PATCH",
        f"{NS}/pods/on-node-1/status",
        {"metadata": {"labels": {"app": "vault"}}},
        "cannot update labels through pod status",
    ),
    "a change of its own pod": Attempt("PATCH", f"{NS}/pods/on-node-1", {"metadata": {"labels": {"app": "vault"}}}),
    "a pod that waits": Attempt(
        "POST",
        f"{NS}/pods/waiting/binding",
        {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "node-1"}},
    ),
    "a command in another's pod": Attempt("POST", f"{NS}/pods/on-node-2/exec?command=id"),
    "a claim that grows": Attempt(
        "PATCH",
        f"{NS}/persistentvolumeclaims/of-node-1/status",
        {"metadata": {"labels": {"a": "b"}}},
        "not allowed to update fields other than status.capacity and status.conditions",
    ),
    # -- leases, certificates, rights
    "another node's lease": Attempt("PATCH", f"{LEASES}/node-2", {"spec": {"holderIdentity": "node-1"}}),
    "a lease of another's name": Attempt("POST", LEASES, {"metadata": {"name": "node-9"}, "spec": {}}, "same name"),
    "the scheduler's lease": Attempt(
        "GET",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler",
        why="can only access leases in the",
    ),
    "an administrator's certificate": Attempt(
        "POST",
        REQUESTS,
        csr("admin", "system:masters", signer="kubernetes.io/kube-apiserver-client"),
        "can only request certificates of the signers",
    ),
    "a certificate with another group": Attempt(
        "POST", REQUESTS, csr("system:node:node-1", "system:nodes", "system:masters"), "for itself"
    ),
    "another node's certificate": Attempt("POST", REQUESTS, csr("system:node:node-2", "system:nodes"), "for itself"),
    "another identity": Attempt(
        "GET", f"{NS}/secrets/of-node-2", headers={"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}
    ),
    "another kubelet's identity": Attempt(
        "GET", f"{NS}/secrets/of-node-2", headers={"Impersonate-User": "system:node:node-2"}
    ),
    "a right": Attempt(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "thief"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:nodes"}],
        },
    ),
}


async def uids(admin: httpx.AsyncClient) -> dict[str, str]:
    """By the placeholders of the table."""
    paths = {f"node-{n}": f"/api/v1/nodes/node-{n}" for n in (1, 2)}
    paths |= {f"on-node-{n}": f"{NS}/pods/on-node-{n}" for n in (1, 2)}
    return {f"{{uid:{name}}}": (await admin.get(path)).json()["metadata"]["uid"] for name, path in paths.items()}


def filled(body: Any, values: dict[str, str]) -> Any:
    match body:
        case dict():
            return {key: filled(value, values) for key, value in body.items()}
        case list():
            return [filled(value, values) for value in body]
    return values.get(body, body) if isinstance(body, str) else body


async def everything(admin: httpx.AsyncClient) -> dict[str, str]:
    """The versions of all objects that the attempts are about."""
    versions = {}
    for path in (
        "/api/v1/nodes", "/api/v1/persistentvolumes", LEASES, REQUESTS, f"{NS}/pods", f"{NS}/secrets",
        f"{NS}/configmaps", f"{NS}/serviceaccounts", f"{NS}/persistentvolumeclaims",
    ):  # fmt: skip
        for item in (await admin.get(path)).json()["items"]:
            versions[f"{path}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
    return versions


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_a_stolen_kubelet_does_not_get(
    admin: httpx.AsyncClient, kubelet: httpx.AsyncClient, attempt: Attempt
) -> None:
    before = await everything(admin)
    body = filled(attempt.body, await uids(admin))
    headers = {"content-type": attempt.kind if attempt.method == "PATCH" else "application/json", **attempt.headers}
    answer = await kubelet.request(attempt.method, attempt.path, json=body, headers=headers)
    assert answer.status_code == 403, answer.text
    assert attempt.why in answer.json()["message"]
    assert await everything(admin) == before


async def test_a_kubelet_does_its_work(admin: httpx.AsyncClient, kubelet: httpx.AsyncClient) -> None:
    known = await uids(admin)
    for path in (
        "/api/v1/nodes/node-1", "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-1",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", f"{NS}/pods/on-node-1", f"{NS}/secrets/of-node-1",
        f"{NS}/configmaps/of-node-1", f"{NS}/persistentvolumeclaims/of-node-1", "/api/v1/persistentvolumes/of-node-1",
        "/api/v1/services", f"{LEASES}/node-1",
        "/api/v1/nodes",  # for the routes to their pods, by a role of its own
    ):  # fmt: skip
        answer = await kubelet.get(path)
        assert answer.status_code == 200, (path, answer.text)
    answer = await kubelet.post(TOKENS, json=token("on-node-1", known["{uid:on-node-1}"]))
    assert answer.status_code == 201, answer.text
    await patch(kubelet, f"{NS}/pods/on-node-1/status", {"status": {"phase": "Running"}})
    await patch(kubelet, "/api/v1/nodes/node-1", {"metadata": {"labels": {"zone": "c", "kubernetes.io/os": "linux"}}})
    await patch(kubelet, "/api/v1/nodes/node-1/status", addresses("192.0.2.1", "192.0.2.7"))
    answer = await kubelet.post(f"{NS}/pods", json=filled(mirror(owner("node-1")), known))
    assert answer.status_code == 201, answer.text
    assert (await kubelet.delete(f"{NS}/pods/mirror?gracePeriodSeconds=0")).status_code == 200
    answer = await kubelet.post(REQUESTS, json=csr("system:node:node-1", "system:nodes"))
    assert answer.status_code == 201, answer.text


async def test_a_pod_brings_what_it_names_to_its_node_and_takes_it_away(
    admin: httpx.AsyncClient, kubelet: httpx.AsyncClient
) -> None:
    await create(admin, f"{NS}/secrets", name="late")
    assert (await kubelet.get(f"{NS}/secrets/late")).status_code == 403
    volumes = [{"name": "s", "secret": {"secretName": "late"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    await create(admin, f"{NS}/pods", name="late", spec=spec)
    assert (await kubelet.get(f"{NS}/secrets/late")).status_code == 403
    binding = {"metadata": {"name": "late"}, "target": {"kind": "Node", "name": "node-1"}}
    assert (await admin.post(f"{NS}/pods/late/binding", json=binding)).status_code == 201
    assert (await kubelet.get(f"{NS}/secrets/late")).status_code == 200
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "late"}}
    assert (await kubelet.post(f"{NS}/pods/late/eviction", json=eviction)).status_code == 201
    assert (await kubelet.delete(f"{NS}/pods/late?gracePeriodSeconds=0")).status_code == 200

    async def is_gone() -> bool:
        return (await kubelet.get(f"{NS}/secrets/late")).status_code == 403

    await eventually(is_gone)


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({"rawSelector": "spec.nodeName=node-1"}, True),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["node-1"]}]}, True),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["node-1", "node-2"]}]}, False),
        ({"rawSelector": "spec.nodeName!=node-1"}, False),
        ({"rawSelector": "not a selector"}, False),
        ({}, False),
    ],
)
async def test_a_review_says_which_pods_a_kubelet_may_list(
    admin: httpx.AsyncClient, selector: dict[str, Any], allowed: bool
) -> None:
    about = {"verb": "list", "resource": "pods", "version": "v1", "fieldSelector": selector}
    spec = {"user": "system:node:node-1", "groups": ["system:nodes"], "resourceAttributes": about}
    answer = await admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json={"spec": spec})
    assert answer.json()["status"]["allowed"] is allowed


async def test_users_without_rights_have_none(server: ApiserverProcess) -> None:
    async with server.http("ann") as ann:
        assert (await ann.get(f"{NS}/secrets/of-node-1")).status_code == 403
