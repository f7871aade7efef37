"""Lists: which objects, as of when, in how many pages."""

import gzip

import httpx
import pytest

from apiserver.storage import Etcd
from tests.integration.apiserver.objects import config_map, created, name_of, names, ok, pod, refused
from tests.integration.conftest import EtcdServer

MERGE = {"Content-Type": "application/merge-patch+json"}

SELECTED = [
    ("environment=production", ["a", "b"]),
    ("environment==production", ["a", "b"]),
    ("tier!=frontend", ["b", "c", "d"]),
    ("environment=production,tier!=frontend", ["b"]),
    ("environment in (production, qa)", ["a", "b", "c"]),
    ("tier notin (frontend, backend)", ["c", "d"]),
    ("partition", ["d"]),
    ("!partition", ["a", "b", "c"]),
    ("environment in (production),tier notin (frontend),!partition", ["b"]),
    ("", ["a", "b", "c", "d"]),
]


async def labelled(api: httpx.AsyncClient, ns: str) -> None:
    for name, labels in (
        ("a", {"environment": "production", "tier": "frontend"}),
        ("b", {"environment": "production", "tier": "backend"}),
        ("c", {"environment": "qa"}),
        ("d", {"partition": "x"}),
    ):
        created(await api.post(f"{ns}/pods", json=pod(name, labels)))


async def test_the_selectors_of_the_article(api: httpx.AsyncClient, ns: str) -> None:
    await labelled(api, ns)
    for selector, expected in SELECTED:
        assert names(await api.get(f"{ns}/pods", params={"labelSelector": selector})) == expected, selector


async def test_field_selectors(api: httpx.AsyncClient, ns: str) -> None:
    await labelled(api, ns)
    await api.post(f"{ns}/pods/b/binding", json={"target": {"name": "n1"}})
    for selector, expected in (
        ("metadata.name=a", ["a"]),
        ("metadata.name!=a", ["b", "c", "d"]),
        (f"metadata.namespace={name_of(ns)},metadata.name=c", ["c"]),
        ("spec.nodeName=n1", ["b"]),
        ("spec.nodeName=", ["a", "c", "d"]),
        ("status.phase=Pending,spec.nodeName!=n1", ["a", "c", "d"]),
        ("status.phase!=Pending", []),
        ("spec.restartPolicy==Always,metadata.name=d", ["d"]),
    ):
        assert names(await api.get(f"{ns}/pods", params={"fieldSelector": selector})) == expected, selector
    both = {"fieldSelector": "status.phase=Pending", "labelSelector": "tier"}
    assert names(await api.get(f"{ns}/pods", params=both)) == ["a", "b"]
    refused(await api.get(f"{ns}/pods", params={"fieldSelector": "spec.foo=x"}), 400, "BadRequest", "spec.foo")
    refused(await api.get(f"{ns}/configmaps", params={"fieldSelector": "data.a=x"}), 400, "BadRequest", "data.a")


@pytest.mark.parametrize(
    "selector",
    ["a in ()x", "a in ()", "a notin ()", "a=b=c", "a in b", "-x=1", "a=,,b", "a in (b", "!", "a=b c", "=b"],
)
async def test_a_selector_that_cannot_be_read_is_refused(api: httpx.AsyncClient, ns: str, selector: str) -> None:
    refused(await api.get(f"{ns}/pods", params={"labelSelector": selector}), 400, "BadRequest")
    watch = {"labelSelector": selector, "watch": "true"}
    refused(await api.get(f"{ns}/pods", params=watch), 400, "BadRequest")
    refused(await api.delete(f"{ns}/pods", params={"labelSelector": selector}), 400, "BadRequest")


async def test_versions_a_list_may_ask_for(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    first = created(await api.post(path, json=config_map("a")))["metadata"]["resourceVersion"]
    created(await api.post(path, json=config_map("b")))
    assert names(await api.get(path)) == ["a", "b"]
    assert names(await api.get(path, params={"resourceVersion": first, "resourceVersionMatch": "Exact"})) == ["a"]
    not_older = {"resourceVersion": first, "resourceVersionMatch": "NotOlderThan"}
    assert names(await api.get(path, params=not_older)) == ["a", "b"]
    assert names(await api.get(path, params={"resourceVersion": first, "limit": 5})) == ["a"]
    assert ok(await api.get(path, params={"resourceVersion": "0"}))["kind"] == "ConfigMapList"
    for wrong in (
        {"resourceVersion": "x"}, {"resourceVersion": "-1"},
        {"limit": "many"}, {"continue": "!!"}, {"continue": "eyJ2IjoibWV0YSJ9"},
    ):  # fmt: skip
        refused(await api.get(path, params=wrong), 400, "BadRequest")
    for wrong in (
        {"resourceVersionMatch": "Exact"}, {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
        {"resourceVersion": "1", "resourceVersionMatch": "No"},
    ):  # fmt: skip
        status = refused(await api.get(path, params=wrong), 422, "Invalid", 'ListOptions.meta.k8s.io "" is invalid')
        assert status["details"]["causes"][0]["field"] == "resourceVersionMatch"
    assert names(await api.get(path, params={"limit": "-1"})) == ["a", "b"]
    future = {"resourceVersion": str(int(first) + 10**9)}
    late = refused(await api.get(path, params=future), 504, "Timeout", "Too large resource version")
    assert late["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_pages_show_the_list_as_it_was(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    for n in range(7):
        created(await api.post(path, json=config_map(f"c{n}", {"odd": str(n % 2)})))
    page = ok(await api.get(path, params={"limit": 3}))
    version = page["metadata"]["resourceVersion"]
    assert page["metadata"]["remainingItemCount"] == 4
    created(await api.post(path, json=config_map("c33")))
    await api.delete(f"{path}/c5")
    listed = [item["metadata"]["name"] for item in page["items"]]
    while token := page["metadata"].get("continue"):
        page = ok(await api.get(path, params={"limit": 3, "continue": token}))
        assert page["metadata"]["resourceVersion"] == version
        listed += [item["metadata"]["name"] for item in page["items"]]
    assert listed == [f"c{n}" for n in range(7)]
    selected = ok(await api.get(path, params={"limit": 2, "labelSelector": "odd=0"}))
    assert "remainingItemCount" not in selected["metadata"]
    rest = ok(await api.get(path, params={"continue": selected["metadata"]["continue"], "labelSelector": "odd=0"}))
    assert [item["metadata"]["name"] for item in selected["items"] + rest["items"]] == ["c0", "c2", "c4", "c6"]


async def test_a_page_of_a_compacted_list_is_gone(api: httpx.AsyncClient, ns: str, shared_etcd: EtcdServer) -> None:
    path = f"{ns}/configmaps"
    for name in "abc":
        last = created(await api.post(path, json=config_map(name)))
    page = ok(await api.get(path, params={"limit": 1}))
    created(await api.post(path, json=config_map("d")))
    client = Etcd(shared_etcd.config)
    try:
        await client.compact(await client.revision())
    finally:
        await client.close()
    expired = {"limit": 1, "continue": page["metadata"]["continue"]}
    gone = refused(await api.get(path, params=expired), 410, "Expired")
    rest = ok(await api.get(path, params={"limit": 2, "continue": gone["metadata"]["continue"]}))
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c"]
    created(await api.post(path, json=config_map("e")))
    end = ok(await api.get(path, params={"continue": rest["metadata"]["continue"]}))
    assert end["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]
    assert [item["metadata"]["name"] for item in end["items"]] == ["d"]  # as it was at this token's own revision
    exact = {"resourceVersion": last["metadata"]["resourceVersion"], "resourceVersionMatch": "Exact"}
    refused(await api.get(path, params=exact), 410, "Expired")


async def test_large_lists_are_compressed_for_those_who_can_read_it(api: httpx.AsyncClient, ns: str) -> None:
    for n in range(3):
        created(await api.post(f"{ns}/configmaps", json=config_map(f"c{n}", text="x" * 60_000)))
    plain = await api.get(f"{ns}/configmaps", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with api.stream("GET", f"{ns}/configmaps", headers={"Accept-Encoding": "gzip"}) as reply:
        assert reply.headers["content-encoding"] == "gzip"
        raw = b"".join([chunk async for chunk in reply.aiter_raw()])
    assert len(raw) < 10_000
    assert gzip.decompress(raw) == plain.content


async def test_a_list_is_never_older_than_a_write_before_it(api: httpx.AsyncClient, ns: str) -> None:
    path = f"{ns}/configmaps"
    for n in range(30):
        made = created(await api.post(path, json=config_map(f"c{n}")))
        page = ok(await api.get(path))
        assert len(page["items"]) == n + 1
        assert int(page["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
