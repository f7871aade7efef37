"""Watch streams, as curl and informers see them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from apiserver.storage import Etcd
from tests.integration.apiserver.objects import config_map, created, name_of, ok, pod, refused
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

MERGE = {"Content-Type": "application/merge-patch+json"}


class Stream:
    """The events of one watch, taken as they come."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self._lines = reply.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            event: dict[str, Any] = json.loads(await anext(self._lines))
        return event

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Kind and name of the next events."""
        return [
            (event["type"], event["object"]["metadata"]["name"]) for event in [await self.next() for _ in range(count)]
        ]

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return [line async for line in self._lines] == []


@asynccontextmanager
async def watching(
    api: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[Stream]:
    async with api.stream("GET", path, params={"watch": "true", **params}, headers=headers) as reply:
        assert reply.status_code == 200, await reply.aread()
        yield Stream(reply)


async def test_without_a_version_what_is_there_comes_first(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    made = created(await api.post(path, json=config_map("a")))
    async with watching(api, path) as unset, watching(api, path, resourceVersion="0") as zero:
        for stream in (unset, zero):
            assert await stream.next() == {"type": "ADDED", "object": made}
        created(await api.post(path, json=config_map("b")))
        ok(await api.patch(f"{path}/b", json={"data": {"x": "1"}}, headers=MERGE))
        ok(await api.delete(f"{path}/b"))
        for stream in (unset, zero):
            assert await stream.take(3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_from_a_version_only_what_came_after_it(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    first = created(await api.post(path, json=config_map("a")))["metadata"]["resourceVersion"]
    second = created(await api.post(path, json=config_map("b")))
    async with watching(api, path, resourceVersion=first) as stream:
        assert await stream.next() == {"type": "ADDED", "object": second}
        ok(await api.delete(f"{path}/a"))
        gone = await stream.next()
    assert gone["type"] == "DELETED"
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(second["metadata"]["resourceVersion"])


async def test_one_object_by_its_name(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    for name in ("a", "b"):
        created(await api.post(path, json=config_map(name)))
    async with watching(api, path, fieldSelector="metadata.name=b", resourceVersion="0") as stream:
        assert await stream.take(1) == [("ADDED", "b")]
        for name in ("a", "b"):
            ok(await api.patch(f"{path}/{name}", json={"data": {"x": "1"}}, headers=MERGE))
        assert await stream.take(1) == [("MODIFIED", "b")]


async def test_the_old_form_of_a_path_watches_too(api: httpx.AsyncClient, ns: str) -> None:
    old = ns.replace("/api/v1/", "/api/v1/watch/")
    for name in ("a", "b"):
        created(await api.post(f"{ns}/configmaps", json=config_map(name)))
    async with watching(api, f"{old}/configmaps") as several, watching(api, f"{old}/configmaps/b") as one:
        assert await several.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        assert await one.take(1) == [("ADDED", "b")]
    async with watching(api, old) as namespace:
        assert await namespace.take(1) == [("ADDED", name_of(ns))]
    refused(await api.post(f"{old}/configmaps", json=config_map("c")), 405, "MethodNotAllowed")


async def test_what_enters_or_leaves_a_selection_is_added_or_deleted(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/pods"
    created(await api.post(path, json=pod("a", {"app": "x"})))
    async with (
        watching(api, path, labelSelector="app=x") as labelled,
        watching(api, path, fieldSelector="spec.nodeName=n1") as on_node,
    ):
        assert await labelled.take(1) == [("ADDED", "a")]
        await api.post(f"{path}/a/binding", json={"target": {"name": "n1"}})
        assert await labelled.take(1) == [("MODIFIED", "a")]
        assert await on_node.take(1) == [("ADDED", "a")]
        ok(await api.patch(f"{path}/a", json={"metadata": {"labels": {"app": "y"}}}, headers=MERGE))
        left = await labelled.next()
        assert (left["type"], left["object"]["metadata"]["labels"]) == ("DELETED", {"app": "x"})
        ok(await api.patch(f"{path}/a", json={"metadata": {"labels": {"app": "x"}}}, headers=MERGE))
        assert await labelled.take(1) == [("ADDED", "a")]
        assert await on_node.take(2) == [("MODIFIED", "a"), ("MODIFIED", "a")]


async def test_initial_events_end_with_a_marked_bookmark(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    created(await api.post(path, json=config_map("a")))
    wanted = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watching(api, path, **wanted) as stream:
        assert await stream.take(1) == [("ADDED", "a")]
        bookmark = await stream.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["kind"] == "ConfigMap"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    for wrong in ({"sendInitialEvents": "true"}, {"resourceVersionMatch": "NotOlderThan"}):
        refused(await api.get(path, params={"watch": "1", **wrong}), 422, "Invalid", "resourceVersionMatch")


async def test_a_watch_ends_in_time_with_a_bookmark_for_those_who_want_one(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    now = ok(await api.get(path))["metadata"]["resourceVersion"]
    async with watching(api, path, resourceVersion=now, timeoutSeconds=1, allowWatchBookmarks="true") as marked:
        bookmark = await marked.next()
        assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
        assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(now)
        assert await marked.ended()
    async with watching(api, path, resourceVersion=now, timeoutSeconds=1) as plain:
        assert await plain.ended()


async def test_a_version_that_is_gone_is_told_in_the_stream(
    api: httpx.AsyncClient, ns: str, shared: ApiserverProcess, shared_etcd: EtcdServer
) -> None:
    path = f"{ns}/configmaps"
    created(await api.post(path, json=config_map("a")))
    client = Etcd(shared_etcd.config)
    try:
        await client.compact(await client.revision())
    finally:
        await client.close()
    await shared.restart()  # what it had in its own memory is gone, too
    created(await api.post(path, json=config_map("b")))
    async with watching(api, path, resourceVersion="1") as stream:
        told = await stream.next()
        assert told["type"] == "ERROR"
        assert (told["object"]["code"], told["object"]["reason"]) == (410, "Expired")
        assert await stream.ended()


async def test_a_version_of_the_future_is_refused(api: httpx.AsyncClient, ns: str) -> None:
    now = int(ok(await api.get(f"{ns}/configmaps"))["metadata"]["resourceVersion"])
    late = {"watch": "1", "resourceVersion": str(now + 10**6)}
    refused(await api.get(f"{ns}/configmaps", params=late), 504, "Timeout", "Too large resource version")


async def test_a_watcher_that_does_not_read_disturbs_nobody(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    async with watching(api, path) as slow, watching(api, path) as quick:
        created(await api.post(path, json=config_map("a")))
        for n in range(60):
            ok(await api.patch(f"{path}/a", json={"data": {"x": f"{n:05}" * 10_000}}, headers=MERGE))
        seen = [await quick.next() for _ in range(61)]
        assert seen[-1]["object"]["data"]["x"].startswith("00059")
        assert [event["type"] for event in seen] == ["ADDED", *["MODIFIED"] * 60]
        late = [await slow.next() for _ in range(61)]  # nothing is lost that it still has a place for
        assert late == seen


async def test_tables_and_metadata_are_watched_too(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/pods", json=pod("a")))
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    partial = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    marked = {"allowWatchBookmarks": "true", "timeoutSeconds": "1"}
    async with watching(api, f"{ns}/pods", table) as rows, watching(api, f"{ns}/pods", partial, **marked) as heads:
        row = await rows.next()
        assert (row["type"], row["object"]["kind"]) == ("ADDED", "Table")
        assert row["object"]["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]
        assert row["object"]["rows"][0]["object"]["metadata"]["name"] == "a"
        head = await heads.next()
        assert (head["object"]["kind"], head["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "a")
        assert "spec" not in head["object"]
        ended = await heads.next()
        assert (ended["type"], ended["object"]["kind"]) == ("BOOKMARK", "PartialObjectMetadata")
    unreadable = {"Accept": "application/vnd.kubernetes.protobuf"}
    refused(await api.get(f"{ns}/pods", params={"watch": "1"}, headers=unreadable), 406, "NotAcceptable")


async def test_all_namespaces_are_watched_from_one_place(api: httpx.AsyncClient, ns: str) -> None:
    now = ok(await api.get("/api/v1/configmaps"))["metadata"]["resourceVersion"]
    async with watching(api, "/api/v1/configmaps", resourceVersion=now) as stream:
        created(await api.post(f"{ns}/configmaps", json=config_map("everywhere")))
        event = await stream.next()
    assert event["object"]["metadata"]["namespace"] == name_of(ns)
