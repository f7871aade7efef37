"""Who may use the kubelet's port: what the apiserver is asked, how often, and what happens when it does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from apimachinery import errors
from component_base.client_certificates import ClientCertificate
from kube_client import Client, Config
from kube_client.delegation import Authentication
from kube_client.reviews import AccessReviews, TokenReviews
from kubelet.options import AccessOptions
from kubelet.server.access import AlwaysAllow, KubeletAccess, subresources_of

ALLOWED = {("prometheus", "get", "metrics"), ("admin", "create", "proxy"), ("viewer", "get", "proxy")}
TOKENS = {"sesame": "prometheus"}


class Apiserver:
    """Answers reviews by the tables above, and counts them."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/apis/authorization.k8s.io/v1/subjectaccessreviews", self._access)
        app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", self._token)
        return app

    async def _access(self, request: web.Request) -> web.Response:
        review = await self._read(request)
        spec = review["spec"]
        about = spec["resourceAttributes"]
        assert (about["resource"], about["name"], about["version"]) == ("nodes", "node-1", "v1")
        allowed = (spec["user"], about["verb"], about["subresource"]) in ALLOWED
        return web.json_response({**review, "status": {"allowed": allowed}})

    async def _token(self, request: web.Request) -> web.Response:
        review = await self._read(request)
        user = TOKENS.get(review["spec"]["token"])
        status = {"authenticated": True, "user": {"username": user, "groups": ["g"]}} if user else {"user": {}}
        return web.json_response({**review, "status": status})

    async def _read(self, request: web.Request) -> dict[str, Any]:
        review: dict[str, Any] = await request.json()
        self.reviews.append(review)
        await self.answers.wait()
        if self.fails:
            raise web.HTTPForbidden()
        return review


@pytest.fixture
async def apiserver() -> AsyncIterator[tuple[Apiserver, Client]]:
    made = Apiserver()
    runner = web.AppRunner(made.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(Config(server=f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
            yield made, client
    finally:
        made.answers.set()
        await runner.cleanup()


def access_by(client: Client, *, anonymous: bool = False, tokens: bool = True, seconds: float = 60.0) -> KubeletAccess:
    reviews = AccessReviews(client, seconds, seconds)
    return KubeletAccess(
        "node-1", Authentication(TokenReviews(client, seconds) if tokens else None, anonymous), reviews
    )


def certificate(name: str, life: float = 60.0) -> ClientCertificate:
    now = time.time()
    return ClientCertificate(name, (), b"", now - 60.0, now + life)


async def outcome(
    access: KubeletAccess, method: str, path: str, *, name: str = "", token: str = "", life: float = 60.0
) -> str:
    """ "" if the request may be served, else the reason why not."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        await access.check(method, path, headers, certificate(name, life) if name else None)
    except errors.ApiError as refused:
        return refused.reason
    return ""


@pytest.mark.parametrize(
    ("path", "subresources"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics", ("metrics",)),
        ("/metrics/cadvisor", ("metrics",)),
        ("/metricsx", ("proxy",)),
        ("/logs/x", ("log",)),
        ("/pods", ("pods", "proxy")),
        ("/healthz", ("healthz", "proxy")),
        ("/containerLogs/a/b/c", ("proxy",)),
        ("/exec/a/b/c", ("proxy",)),
        ("/", ("proxy",)),
    ],
)
def test_what_of_the_node_a_path_stands_for(path: str, subresources: tuple[str, ...]) -> None:
    assert subresources_of(path) == subresources


@pytest.mark.parametrize(
    ("method", "path", "name", "reason"),
    [
        ("POST", "/exec/a/b/c", "admin", ""),
        ("GET", "/exec/a/b/c", "admin", "Forbidden"),
        ("GET", "/metrics/resource", "prometheus", ""),
        ("GET", "/stats/summary", "prometheus", "Forbidden"),
        ("GET", "/pods", "viewer", ""),  # by "proxy", as "pods" alone is not allowed
        ("OPTIONS", "/pods", "viewer", "Forbidden"),
        ("GET", "/pods", "system:node:node-1", "Forbidden"),
        ("GET", "/pods", "", "Unauthorized"),
    ],
)
async def test_the_apiserver_says_what_a_user_may_do(
    apiserver: tuple[Apiserver, Client], method: str, path: str, name: str, reason: str
) -> None:
    assert await outcome(access_by(apiserver[1]), method, path, name=name) == reason


async def test_the_apiserver_says_whose_a_token_is(apiserver: tuple[Apiserver, Client]) -> None:
    access = access_by(apiserver[1])
    assert await outcome(access, "GET", "/metrics", token="sesame") == ""
    assert await outcome(access, "GET", "/metrics", token="wrong") == "Unauthorized"
    assert await outcome(access, "GET", "/metrics", token="x" * 100_000) == "Unauthorized"
    assert await outcome(access_by(apiserver[1], tokens=False), "GET", "/metrics", token="sesame") == "Unauthorized"


async def test_an_expired_certificate_is_nobodys(apiserver: tuple[Apiserver, Client]) -> None:
    access = access_by(apiserver[1], anonymous=True)
    assert await outcome(access, "GET", "/metrics", name="prometheus", life=-1.0) == "Unauthorized"
    assert await outcome(access, "GET", "/metrics", name="nobody", life=-1.0, token="sesame") == ""


async def test_who_sends_nothing_is_anonymous_where_that_is_allowed(apiserver: tuple[Apiserver, Client]) -> None:
    access = access_by(apiserver[1], anonymous=True)
    assert await outcome(access, "GET", "/metrics") == "Forbidden"
    assert apiserver[0].reviews[0]["spec"]["user"] == "system:anonymous"
    assert apiserver[0].reviews[0]["spec"]["groups"] == ["system:unauthenticated"]
    assert await outcome(access, "GET", "/metrics", token="wrong") == "Unauthorized"


async def test_answers_are_remembered_and_shared(apiserver: tuple[Apiserver, Client]) -> None:
    server, client = apiserver
    access = access_by(client)
    together = await asyncio.gather(*(outcome(access, "GET", "/metrics", token="sesame") for _ in range(20)))
    assert set(together) == {""}
    assert await outcome(access, "GET", "/metrics", token="sesame") == ""
    assert [review["kind"] for review in server.reviews] == ["TokenReview", "SubjectAccessReview"]
    forgetful = access_by(client, seconds=0.0)
    for _ in range(2):
        assert await outcome(forgetful, "GET", "/metrics", name="prometheus") == ""
    assert len(server.reviews) == 4


async def test_without_an_answer_nobody_is_let_in_and_the_next_request_asks_again(
    apiserver: tuple[Apiserver, Client],
) -> None:
    server, client = apiserver
    server.fails, access = True, access_by(client)
    assert await outcome(access, "GET", "/metrics", name="prometheus") == "InternalError"
    assert await outcome(access, "GET", "/metrics", token="sesame") == "Unauthorized"
    server.fails = False
    assert await outcome(access, "GET", "/metrics", name="prometheus") == ""
    assert await outcome(access, "GET", "/metrics", token="sesame") == ""


async def test_an_apiserver_that_is_silent_is_not_waited_for_without_end(
    apiserver: tuple[Apiserver, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube_client.answers.PATIENCE", 0.05)
    server, client = apiserver
    server.answers.clear()
    assert await outcome(access_by(client), "GET", "/metrics", name="prometheus") == "InternalError"


async def test_no_flood_of_tokens_keeps_the_apiserver_busy_or_fills_the_memory(
    apiserver: tuple[Apiserver, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube_client.answers._WAITING", 8)
    server, client = apiserver
    server.answers.clear()
    tokens = TokenReviews(client, 60.0)
    access = KubeletAccess("node-1", Authentication(tokens), AlwaysAllow())
    flood = [asyncio.create_task(outcome(access, "GET", "/metrics", token=f"bad-{i}")) for i in range(8)]
    await asyncio.sleep(0)
    assert await outcome(access, "GET", "/metrics", token="sesame") == "Unauthorized"  # there is no room for it
    assert await outcome(access, "GET", "/metrics", name="admin") == ""
    server.answers.set()
    assert set(await asyncio.gather(*flood)) == {"Unauthorized"}
    assert await outcome(access, "GET", "/metrics", token="sesame") == ""


def test_the_flags_have_the_safe_defaults_of_a_kubelets_configuration_file() -> None:
    options = AccessOptions()
    assert (options.anonymous_auth, options.authentication_token_webhook) == (False, True)
    assert options.authorization_mode == "Webhook"
