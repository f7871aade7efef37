"""What a request asks for, as the authorizer sees it: the cases of Kubernetes' own RequestInfo test, and more."""

import pytest

from apimachinery import errors
from apiserver.authorization import NO_OPINION, Decision, Rules, Union
from apiserver.handlers import request_info
from apiserver.handlers.http import Request
from apiserver.handlers.impersonation import impersonated
from apiserver.request import Attributes, User

ANN = User("ann", groups=("dev", "system:authenticated"))


def request(method: str, url: str, *headers: tuple[str, str]) -> Request:
    path, _, query = url.partition("?")
    scope = {
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    return Request(scope, None, None)  # type: ignore[arg-type]  # neither body nor answer is asked for


def asked(method: str, url: str) -> Attributes:
    attributes, place = request_info.asked(request(method, url), ANN)
    assert place is not None
    return attributes


@pytest.mark.parametrize("path", ["/", "/api", "/apis/apps/v1", "/metrics", "/apisx/v1/pods", "/openapi/v3"])
def test_what_names_no_resource_is_asked_for_by_its_path(path: str) -> None:
    attributes, place = request_info.asked(request("POST", path), ANN)
    assert place is None
    assert (attributes.verb, attributes.path, attributes.resource) == ("post", path, "")


@pytest.mark.parametrize(
    ("method", "url", "verb", "namespace", "resource", "subresource", "name"),
    [
        ("GET", "/api/v1/namespaces", "list", "", "namespaces", "", ""),
        ("GET", "/api/v1/namespaces/other", "get", "other", "namespaces", "", "other"),
        ("PUT", "/api/v1/namespaces/other/finalize", "update", "other", "namespaces", "finalize", "other"),
        ("PATCH", "/api/v1/namespaces/other/status", "patch", "other", "namespaces", "status", "other"),
        ("GET", "/api/v1/namespaces/other/pods", "list", "other", "pods", "", ""),
        ("GET", "/api/v1/namespaces/other/pods/foo", "get", "other", "pods", "", "foo"),
        ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "other", "pods", "", "foo"),
        ("GET", "/api/v1/pods", "list", "", "pods", "", ""),
        ("GET", "/api/v1/namespaces//pods", "list", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=true", "watch", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=false", "list", "", "pods", "", ""),
        ("GET", "/api/v1/watch/namespaces/other/pods", "watch", "other", "pods", "", ""),
        ("GET", "/api/v1/watch/namespaces/other/pods/foo", "watch", "other", "pods", "", "foo"),
        ("GET", "/api/v1/namespaces/other/pods/foo/status", "get", "other", "pods", "status", "foo"),
        ("GET", "/api/v1/namespaces/other/pods/foo/log", "get", "other", "pods", "log", "foo"),
        ("POST", "/api/v1/namespaces/other/pods/foo/exec?command=sh", "create", "other", "pods", "exec", "foo"),
        ("GET", "/api/v1/namespaces/other/pods/foo/exec?command=sh", "get", "other", "pods", "exec", "foo"),
        ("POST", "/api/v1/namespaces/other/services/foo/proxy/a/b", "create", "other", "services", "proxy", "foo"),
        ("DELETE", "/api/v1/nodes/foo/proxy/a/b", "delete", "", "nodes", "proxy", "foo"),
        ("OPTIONS", "/api/v1/nodes/foo/proxy", "", "", "nodes", "proxy", "foo"),
        ("POST", "/api/v1/namespaces/other/pods", "create", "other", "pods", "", ""),
        ("PUT", "/api/v1/namespaces/other/pods/foo", "update", "other", "pods", "", "foo"),
        ("PATCH", "/api/v1/namespaces/other/pods/foo", "patch", "other", "pods", "", "foo"),
        ("DELETE", "/api/v1/namespaces/other/pods/foo", "delete", "other", "pods", "", "foo"),
        ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "other", "pods", "", ""),
        ("DELETE", "/apis/apps/v1/namespaces/other/deployments", "deletecollection", "other", "deployments", "", ""),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-1", "list", "", "nodes", "", "node-1"),
        ("GET", "/api/v1/pods?watch=1&fieldSelector=metadata.name=a,spec.nodeName=b", "watch", "", "pods", "", "a"),
        (
            "DELETE",
            "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Da",
            "deletecollection",
            "x",
            "pods",
            "",
            "a",
        ),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name!%3Dnode-1", "list", "", "nodes", "", ""),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Da/b", "list", "", "nodes", "", ""),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name==", "list", "", "nodes", "", ""),
        ("GET", "/api/v1/namespaces?fieldSelector=metadata.name%3Dx", "list", "", "namespaces", "", "x"),
        ("BREW", "/api/v1/pods", "", "", "pods", "", ""),
    ],
)
def test_what_is_asked_for(
    method: str, url: str, verb: str, namespace: str, resource: str, subresource: str, name: str
) -> None:
    attributes = asked(method, url)
    assert (attributes.verb, attributes.namespace, attributes.resource) == (verb, namespace, resource)
    assert (attributes.subresource, attributes.name) == (subresource, name)


class Recorder:
    """Allows everything but some names, and keeps what it was asked."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[Attributes] = []
        self._refused = refused

    async def decide(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        return NO_OPINION if attributes.name in self._refused else Decision("allow")

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules()


async def acting(recorder: Recorder, *headers: tuple[str, str]) -> User:
    sent = request("GET", "/api/v1/pods", ("accept", "*/*"), *headers)
    user = await impersonated(sent, ANN, Union([recorder]))
    assert "accept" in sent.headers
    assert not [name for name, _ in sent.scope["headers"] if name.startswith(b"impersonate")], "passed on to no one"
    return user


async def test_without_such_headers_a_user_stays_who_they_are() -> None:
    recorder = Recorder()
    assert await acting(recorder) is ANN
    assert recorder.asked == []


async def test_everything_that_is_claimed_is_authorized_by_itself() -> None:
    recorder = Recorder()
    user = await acting(
        recorder,
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Group", "night"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Scopes", "view"),
        ("Impersonate-Extra-acme.com%2Fproject", "x"),
    )
    extra: dict[str, tuple[str, ...]] = {"scopes": ("view",), "acme.com/project": ("x",)}
    assert user == User("bob", "7", ("ops", "night", "system:authenticated"), extra)
    questions = [(a.verb, a.group, a.resource, a.subresource, a.name) for a in recorder.asked]
    assert questions == [
        ("impersonate", "", "users", "", "bob"),
        ("impersonate", "", "groups", "", "ops"),
        ("impersonate", "", "groups", "", "night"),
        ("impersonate", "authentication.k8s.io", "uids", "", "7"),
        ("impersonate", "authentication.k8s.io", "userextras", "scopes", "view"),
        ("impersonate", "authentication.k8s.io", "userextras", "acme.com/project", "x"),
    ]
    assert all(attributes.user is ANN for attributes in recorder.asked)


@pytest.mark.parametrize(
    ("headers", "groups"),
    [
        (["system:serviceaccount:kube-system:dns"], ("system:serviceaccounts", "system:serviceaccounts:kube-system")),
        (["system:serviceaccount:kube-system:dns", "ops"], ("ops",)),
        (["bob", "system:authenticated"], ("system:authenticated",)),
        (["bob", "system:unauthenticated"], ("system:unauthenticated",)),
    ],
)
async def test_groups_follow_from_the_user(headers: list[str], groups: tuple[str, ...]) -> None:
    name, *more = headers
    user = await acting(Recorder(), ("Impersonate-User", name), *(("Impersonate-Group", group) for group in more))
    implied = () if "authenticated" in groups[0] else ("system:authenticated",)
    assert user.groups == (*groups, *implied)


async def test_the_anonymous_user_is_not_authenticated() -> None:
    user = await acting(Recorder(), ("Impersonate-User", "system:anonymous"))
    assert user.groups == ("system:unauthenticated",)


async def test_a_service_account_is_asked_for_as_one() -> None:
    recorder = Recorder()
    await acting(recorder, ("Impersonate-User", "system:serviceaccount:kube-system:dns"))
    (question,) = recorder.asked
    assert (question.resource, question.namespace, question.name) == ("serviceaccounts", "kube-system", "dns")


async def test_one_refused_claim_refuses_the_request() -> None:
    with pytest.raises(errors.Forbidden, match='User "ann" cannot impersonate resource "groups"'):
        await acting(Recorder("system:masters"), ("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters"))


@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-Group", "ops")],
        [("Impersonate-Extra-a", "b")],
        [("Impersonate-User", "")],
        [("Impersonate-User", "bob"), ("Impersonate-Nobody", "x")],
        [("Impersonate-User", "bob"), *[("Impersonate-Group", f"g{n}") for n in range(300)]],
    ],
    ids=["a group alone", "an extra alone", "an empty user", "an unknown header", "too many groups"],
)
async def test_claims_that_make_no_sense_are_bad_requests(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(errors.BadRequest):
        await acting(Recorder(), *headers)
