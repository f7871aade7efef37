"""The local copy against a server that cuts, forgets and fails."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest

from apimachinery.meta import Key, key_of, labels_of
from apimachinery.types import core_v1
from kube_client import Informer, wait_for_sync
from tests.support import eventually

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def informer(client) -> Informer[core_v1.Pod]:
    return Informer(
        client.resource(core_v1.Pod), indexes={"app": lambda pod: filter(None, [labels_of(pod).get("app")])}
    )


@pytest.fixture
def changes(informer) -> list[tuple[str, str]]:
    changes: list[tuple[str, str]] = []

    def note(old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        what = "added" if old is None else "deleted" if new is None else "changed"
        changes.append((what, str(key_of(new or old).name)))

    informer.on_change(note)
    return changes


@asynccontextmanager
async def running(informer: Informer[core_v1.Pod]):
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(wait_for_sync(informer), 5)
        yield informer
    finally:
        task.cancel()
        await asyncio.wait([task])


def names(informer: Informer[core_v1.Pod]) -> set[str]:
    return {key_of(pod).name for pod in informer.list()}


async def test_the_copy_follows_the_server(api, informer, changes) -> None:
    api.put(f"{PODS}/a", {})
    async with running(informer):
        assert names(informer) == {"a"}
        api.put(f"{PODS}/b", {})
        api.put(f"{PODS}/a", {"metadata": {"labels": {"app": "web"}}})
        api.drop(f"{PODS}/b")
        await eventually(lambda: len(changes) == 4)
        assert changes == [("added", "a"), ("added", "b"), ("changed", "a"), ("deleted", "b")]
        assert informer.get(Key("default", "b")) is None
        assert informer.list("default") == informer.by_index("app", "web")
        assert informer.list("elsewhere") == []
        assert informer.resource_version == str(api.version)


async def test_indexes_follow_changes(api, informer) -> None:
    api.put(f"{PODS}/a", {"metadata": {"labels": {"app": "web"}}})
    async with running(informer):
        api.put(f"{PODS}/a", {"metadata": {"labels": {"app": "db"}}})
        await eventually(lambda: informer.by_index("app", "db"))
        assert informer.by_index("app", "web") == []
        assert [*informer._store.indexes["app"]] == ["db"]
        api.drop(f"{PODS}/a")
        await eventually(lambda: not informer.list())
        assert not informer._store.indexes["app"]


async def test_a_stream_that_ends_is_taken_up_where_it_was(api, informer, changes) -> None:
    async with running(informer):
        await eventually(lambda: api.count("GET", watch=True))
        for n in range(5):
            api.cut()
            api.put(f"{PODS}/pod-{n}", {})
        await eventually(lambda: len(changes) == 5)
        assert changes == [("added", f"pod-{n}") for n in range(5)]
        assert api.count("GET") == 1  # never listed again


async def test_bookmarks_move_the_version_on(api, informer) -> None:
    async with running(informer):
        api.bookmark()
        await eventually(lambda: informer.resource_version == str(api.version))
        api.oldest = api.version  # without the bookmark the next watch would be expired
        api.cut()
        await eventually(lambda: api.count("GET", watch=True) > 1)
        api.put(f"{PODS}/a", {})
        await eventually(lambda: names(informer) == {"a"})
        assert api.count("GET") == 1


async def test_a_server_whose_data_are_older_ones_again_is_listed_again(api, informer, changes) -> None:
    rewound: list[set[str]] = []
    informer.on_rewind(lambda: rewound.append(names(informer)))
    api.put(f"{PODS}/kept", {})
    version, objects = api.version, json.loads(json.dumps(api.objects))
    api.put(f"{PODS}/kept", {"metadata": {"labels": {"app": "old"}}})
    for name in ("lost", "lost-too"):
        api.put(f"{PODS}/{name}", {})
    async with running(informer):
        await eventually(lambda: api.count("GET", watch=True))
        changes.clear()
        api.restore(version, objects)
        api.put(f"{PODS}/kept", {"metadata": {"labels": {"app": "new"}}})  # at the version that the old one had
        api.put(f"{PODS}/new", {})
        await eventually(lambda: rewound)
        assert rewound == [{"kept", "new"}]
        assert sorted(changes) == [("added", "new"), ("changed", "kept"), ("deleted", "lost"), ("deleted", "lost-too")]
        assert [key_of(pod).name for pod in informer.by_index("app", "new")] == ["kept"]
        api.put(f"{PODS}/later", {})
        await eventually(lambda: ("added", "later") in changes)
    assert len(rewound) == 1


async def test_an_informer_that_the_new_history_has_overtaken_hears_of_it_from_another(api, client, informer) -> None:
    quiet = Informer(client.resource(core_v1.ConfigMap))
    version, objects = api.version, json.loads(json.dumps(api.objects))
    api.put("/api/v1/namespaces/default/configmaps/lost", {})
    for name in ("a", "b"):
        api.put(f"{PODS}/{name}", {})
    async with running(quiet):
        quiet._version = str(version + 1)  # as if it had seen the last event of its own resource alone
        async with running(informer):
            await eventually(lambda: api.count("GET", watch=True) == 2)
            api.restore(version, objects)
            api.put(f"{PODS}/new", {})  # at the version that the quiet one has
            await eventually(lambda: names(informer) == {"new"})
            await eventually(lambda: not quiet.list())


async def test_a_gap_is_closed_by_comparing_with_a_new_list(api, informer, changes) -> None:
    for name in ("same", "changed", "gone", "replaced"):
        api.put(f"{PODS}/{name}", {})
    async with running(informer):
        await eventually(lambda: api.count("GET", watch=True))
        changes.clear()
        api.fail = lambda method, path: 503
        api.cut()
        before = len(api.requests)
        await eventually(lambda: len(api.requests) > before)
        api.put(f"{PODS}/changed", {"metadata": {"labels": {"app": "x"}}})
        api.drop(f"{PODS}/gone")
        api.drop(f"{PODS}/replaced")
        api.put(f"{PODS}/replaced", {})
        api.put(f"{PODS}/new", {})
        api.compact()
        api.fail = lambda method, path: None
        await eventually(lambda: ("added", "new") in changes)
        assert sorted(changes) == sorted(
            [
                ("changed", "changed"),
                ("deleted", "gone"),
                ("deleted", "replaced"),
                ("added", "replaced"),
                ("added", "new"),
            ]
        )
        assert changes.index(("deleted", "replaced")) < changes.index(("added", "replaced"))


async def test_an_error_in_a_handler_is_logged_and_hurts_nobody(api, informer, changes, caplog) -> None:
    def broken(old, new) -> None:
        raise ValueError("a bug")

    informer.on_change(broken)
    second: list[object] = []
    informer.on_change(lambda old, new: second.append(new))
    with caplog.at_level(logging.ERROR):
        async with running(informer):
            api.put(f"{PODS}/a", {})
            api.put(f"{PODS}/b", {})
            await eventually(lambda: len(second) == 2)
    assert changes == [("added", "a"), ("added", "b")]
    assert "default/a: pods: a handler failed" in caplog.text


async def test_an_index_that_fails_leaves_the_object_in_the_copy(api, client, caplog) -> None:
    informer = Informer(client.resource(core_v1.Pod), indexes={"broken": lambda pod: [pod.metadata.labels["app"]]})
    api.put(f"{PODS}/a", {})
    api.put(f"{PODS}/b", {"metadata": {"labels": {"app": "web"}}})
    async with running(informer):
        assert names(informer) == {"a", "b"}
        assert len(informer.by_index("broken", "web")) == 1
    assert "default/a: index broken failed" in caplog.text


async def test_a_late_handler_is_called_for_existing_objects(api, informer) -> None:
    api.put(f"{PODS}/a", {})
    async with running(informer):
        calls: list[tuple[object, object]] = []
        informer.on_change(lambda old, new: calls.append((old, new)))
        assert calls == [(None, informer.get(Key("default", "a")))]


def test_a_server_that_is_away_is_asked_ever_more_rarely(virtual, scripted, connected) -> None:
    async def main() -> None:
        api = scripted()
        api.fail = lambda method, path: 500
        async with connected(api) as client:
            informer = Informer(client.resource(core_v1.Pod))
            task = asyncio.create_task(informer.run())
            await asyncio.sleep(120)
            assert 15 < len(api.requests) < 60
            assert not informer.synced.is_set()
            api.fail = lambda method, path: None
            await asyncio.wait_for(informer.synced.wait(), 11)
            task.cancel()
            await asyncio.wait([task])

    virtual(main())


def test_streams_that_end_at_once_make_no_busy_loop(virtual, scripted, connected) -> None:
    async def main() -> None:
        api = scripted()
        api._watch = _ends_at_once
        async with connected(api) as client:
            task = asyncio.create_task(Informer(client.resource(core_v1.Pod)).run())
            await asyncio.sleep(120)
            assert len(api.requests) < 60
            task.cancel()
            await asyncio.wait([task])

    virtual(main())


async def _ends_at_once(path, query, scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
