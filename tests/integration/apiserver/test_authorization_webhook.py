"""Another server decides who may do what: what it is asked, how long its answers count, and what happens without it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apiserver.authorization import Decision, webhook
from apiserver.authorization.webhook import Webhook
from apiserver.request import Attributes, User
from component_base.serving import TLS, Server
from kube_client.config import load_config
from tests.certificates import Authority
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.processes import free_port
from tests.support import eventually

ANN = User("ann", uid="1", groups=("devs",), extra={"scopes": ("all",)})


class Decider:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder, "decider-ca")
        pair = authority.issue("decider", "decider")
        port = free_port()
        self.asked: list[dict[str, Any]] = []
        self.answer: Response | dict[str, Any] = {"allowed": True, "reason": "why not"}
        self.delay = 0.0
        self.server = Server(
            Starlette(routes=[Route("/decide", self._decide, methods=["POST"])]),
            [("127.0.0.1", port)],
            tls=TLS(pair.cert, pair.key),
        )
        self.kubeconfig = folder / "webhook.kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}/decide", "certificate-authority": str(authority.cert)}
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "webhook",
                    "contexts": [{"name": "webhook", "context": {"cluster": "decider", "user": "apiserver"}}],
                    "clusters": [{"name": "decider", "cluster": cluster}],
                    "users": [{"name": "apiserver", "user": {"token": "sesame"}}],
                }
            )
        )

    async def _decide(self, request: Request) -> Response:
        document = await request.json()
        assert request.headers["authorization"] == "Bearer sesame"
        assert (document["kind"], document["apiVersion"]) == ("SubjectAccessReview", "authorization.k8s.io/v1")
        self.asked.append(document["spec"])
        await asyncio.sleep(self.delay)
        if isinstance(self.answer, Response):
            return self.answer
        return JSONResponse({**document, "status": self.answer})


@pytest.fixture
async def decider(tmp_path: Path) -> AsyncIterator[Decider]:
    made = Decider(tmp_path)
    async with made.server:
        yield made


@asynccontextmanager
async def asking(decider: Decider, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Webhook]:
    asks = Webhook(load_config(decider.kubeconfig), 300, 30, clock)
    task = asyncio.create_task(asks.run())
    try:
        await asyncio.sleep(0)
        yield asks
    finally:
        task.cancel()


def about(verb: str = "get", name: str = "web") -> Attributes:
    return Attributes(ANN, verb, "/x", version="v1", resource="pods", subresource="log", namespace="x", name=name)


async def test_it_is_told_who_asks_for_what(decider: Decider) -> None:
    async with asking(decider) as asks:
        assert await asks.decide(about()) == Decision("allow", "why not")
        await asks.decide(Attributes(ANN, "get", "/metrics"))
    user = {"user": "ann", "uid": "1", "groups": ["devs"], "extra": {"scopes": ["all"]}}
    resource = {
        "namespace": "x",
        "verb": "get",
        "version": "v1",
        "resource": "pods",
        "subresource": "log",
        "name": "web",
    }
    assert decider.asked == [
        {**user, "resourceAttributes": resource},
        {**user, "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
    ]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ({"allowed": True}, "allow"),
        ({"allowed": False}, "no opinion"),
        ({"allowed": False, "denied": True}, "deny"),
        ({"allowed": True, "denied": True}, "deny"),
    ],
)
async def test_its_answer_is_taken(decider: Decider, status: dict[str, bool], outcome: str) -> None:
    decider.answer = {**status, "reason": "so"}
    async with asking(decider) as asks:
        assert await asks.decide(about()) == Decision(outcome, "so")  # type: ignore[arg-type]


async def test_an_answer_counts_for_its_time(decider: Decider) -> None:
    now = 1000.0
    async with asking(decider, lambda: now) as asks:
        for is_allowed, seconds in ((True, 300), (False, 30)):
            decider.answer, decider.asked = {"allowed": is_allowed}, []
            for _ in range(3):
                assert (await asks.decide(about(name=str(seconds)))).allows is is_allowed
            now += seconds - 1
            await asks.decide(about(name=str(seconds)))
            assert len(decider.asked) == 1
            now += 2
            await asks.decide(about(name=str(seconds)))
            assert len(decider.asked) == 2


async def test_no_more_answers_are_kept_than_there_is_room_for(
    decider: Decider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_KEPT", 2)
    async with asking(decider) as asks:
        for name in ("a", "b", "a", "c", "a"):  # b was asked for longest ago
            await asks.decide(about(name=name))
        assert len(decider.asked) == 3
        await asks.decide(about(name="b"))
        assert len(decider.asked) == 4
        for _ in range(2):
            await asks.decide(about(name="x" * 20_000))
        assert len(decider.asked) == 6


@pytest.mark.parametrize("answer", [Response("broken", 500), Response("{", 200), Response('{"status": 1}', 200)])
async def test_without_an_answer_there_is_no_opinion_and_nothing_is_kept(decider: Decider, answer: Response) -> None:
    decider.answer = answer
    async with asking(decider) as asks:
        decision = await asks.decide(about())
        assert (decision.outcome, decision.reason) == ("no opinion", "the authorization webhook could not be asked")
        decider.answer = {"allowed": True}
        assert (await asks.decide(about())).allows


async def test_a_late_answer_is_not_waited_for(decider: Decider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_PATIENCE", 0.1)
    decider.delay = 5.0
    async with asking(decider) as asks, asyncio.timeout(2):
        assert (await asks.decide(about())).outcome == "no opinion"


async def test_an_apiserver_asks_it_before_the_stored_roles(decider: Decider, etcd: EtcdServer, tmp_path: Path) -> None:
    flags = ("--authorization-mode=Webhook,RBAC", f"--authorization-webhook-config-file={decider.kubeconfig}")
    server = ApiserverProcess(tmp_path, etcd.url, *flags, "--authorization-webhook-cache-unauthorized-ttl=0s")
    pods = "/api/v1/namespaces/default/pods"
    try:
        await server.start()
        async with server.http("ann") as ann, server.http("bob") as bob:
            assert (await ann.get(pods)).status_code == 200
            decider.answer = {"allowed": False, "reason": "not today"}
            assert (await ann.get(pods)).status_code == 200  # which was answered before
            refused = await bob.get(pods)
            assert refused.status_code == 403
            assert refused.json()["message"].endswith('in the namespace "default": not today')

            async def discovers() -> bool:
                return (await bob.get("/api")).status_code == 200  # by RBAC

            await eventually(discovers, timeout=5)
    finally:
        server.kill()
