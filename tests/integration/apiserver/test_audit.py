"""The audit log of a real apiserver: who did what, as a policy asks for, and never a secret."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.apiserver.objects import config_map
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/readyz*"]},
        {"level": "RequestResponse", "users": ["ann"]},
        {"level": "Metadata", "users": ["", "bob"]},
    ],
}
MAPS = "/api/v1/namespaces/default/configmaps"


class Audited:
    def __init__(self, folder: Path, etcd: EtcdServer) -> None:
        (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
        self._log = folder / "audit.log"
        flags = (f"--audit-policy-file={folder / 'policy.yaml'}", f"--audit-log-path={self._log}")
        self.server = ApiserverProcess(folder, etcd.url, *flags)

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The first events, once there are as many."""

        async def enough() -> list[str] | None:
            lines = self._log.read_text().splitlines()
            return lines if len(lines) >= count else None

        return [json.loads(line) for line in (await eventually(enough))[:count]]

    @property
    def text(self) -> str:
        return self._log.read_text()


@pytest.fixture
async def audited(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[Audited]:
    audited = Audited(tmp_path, etcd)
    await audited.server.start()
    yield audited
    audited.server.stop()


async def test_who_did_what_is_recorded_with_bodies_where_the_policy_asks_for_them(audited: Audited) -> None:
    async with audited.server.http("ann") as ann, audited.server.http("bob") as bob:
        body = yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", **config_map("one", a="b")})
        await ann.post(MAPS, content=body, headers={"Content-Type": "application/yaml", "Audit-ID": "first"})
        await bob.get(f"{MAPS}/missing", params={"resourceVersion": "0"}, headers={"Impersonate-User": "carol"})
    async with audited.server.http("nobody") as stranger:
        await stranger.get(MAPS)
    made, missing, refused = await audited.events(3)
    assert (made["auditID"], made["level"], made["stage"]) == ("first", "RequestResponse", "ResponseComplete")
    assert made["requestObject"]["data"] == made["responseObject"]["data"] == {"a": "b"}
    assert made["responseObject"]["metadata"]["uid"]
    assert made["annotations"] == {"authorization.k8s.io/decision": "allow"}
    assert (missing["user"]["username"], missing["impersonatedUser"]["username"]) == ("bob", "carol")
    assert missing["requestURI"] == f"{MAPS}/missing?resourceVersion=0"
    assert (missing["responseStatus"]["code"], missing["responseStatus"]["reason"]) == (404, "NotFound")
    assert "requestObject" not in missing
    assert (refused["user"]["username"], refused["responseStatus"]["code"]) == ("", 401)
    assert "nobody" not in audited.text, "the token that was refused"


async def test_pods_that_violate_what_their_namespace_audits_are_noted(audited: Audited) -> None:
    standard = {"pod-security.kubernetes.io/audit": "baseline"}
    pod = {"metadata": {"name": "a"}, "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}}
    async with audited.server.http("bob") as bob:
        await bob.post("/api/v1/namespaces", json={"metadata": {"name": "audited", "labels": standard}})
        assert (await bob.post("/api/v1/namespaces/audited/pods", json=pod)).status_code == 201
    _, made = await audited.events(2)
    prefix = "pod-security.kubernetes.io/"
    assert made["annotations"][f"{prefix}audit-violations"] == (
        'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    assert made["annotations"][f"{prefix}enforce-policy"] == "privileged:latest"


async def test_a_watch_is_recorded_when_it_begins_and_when_it_ends(audited: Audited) -> None:
    async with audited.server.http("bob") as bob, bob.stream("GET", MAPS, params={"watch": "true"}):
        (started,) = await audited.events(1)
        assert (started["stage"], started["verb"], started["responseStatus"]["code"]) == (
            "ResponseStarted",
            "watch",
            200,
        )
    ended = (await audited.events(2))[1]
    assert (ended["stage"], ended["auditID"]) == ("ResponseComplete", started["auditID"])


async def test_no_secret_and_no_token_is_in_the_log(audited: Audited) -> None:
    async with audited.server.http("ann") as ann:
        secret = {"metadata": {"name": "s"}, "stringData": {"password": "swordfish"}}
        await ann.post("/api/v1/namespaces/default/secrets", json=secret)
        await ann.get("/api/v1/namespaces/default/secrets/s")
        review = {"spec": {"token": "sesame"}}
        await ann.post("/apis/authentication.k8s.io/v1/tokenreviews", json=review)
        await ann.get("/api/v1/nodes/none/proxy/x", params={"access_token": "opensesame"})
    events = await audited.events(4)
    assert [event["level"] for event in events] == ["Metadata", "Metadata", "Metadata", "RequestResponse"]
    for confidential in ("swordfish", "c3dvcmRmaXNo", "sesame"):
        assert confidential not in audited.text


async def test_what_is_done_is_recorded_though_the_server_stops_at_once(audited: Audited) -> None:
    async with audited.server.http("bob") as bob:
        await bob.get(MAPS)
    audited.server.stop()
    assert json.loads(audited.text)["verb"] == "list"
