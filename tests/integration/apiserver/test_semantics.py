"""Corners of what requests mean, in which clients rely on the answer of Kubernetes."""

import asyncio

import httpx

from tests.integration.apiserver.objects import config_map, created, event, name_of, ok, refused

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def test_concurrent_patches_are_no_conflict_unless_they_name_a_revision(api: httpx.AsyncClient, ns: str) -> None:
    made = created(await api.post(f"{ns}/configmaps", json=config_map("c")))

    async def patch(number: int) -> int:
        document = {"data": {f"k{number}": "x"}}
        return (await api.patch(f"{ns}/configmaps/c", json=document, headers=MERGE)).status_code

    assert await asyncio.gather(*map(patch, range(40))) == [200] * 40
    current = ok(await api.get(f"{ns}/configmaps/c"))
    assert len(current["data"]) == 40
    outdated = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "b"}}
    refused(await api.patch(f"{ns}/configmaps/c", json=outdated, headers=MERGE), 409, "Conflict")


async def test_a_failed_test_of_a_secret_does_not_tell_what_it_holds(api: httpx.AsyncClient, ns: str) -> None:
    created(await api.post(f"{ns}/secrets", json={"metadata": {"name": "s"}, "data": {"key": "aHVzaA=="}}))
    for operation in (
        {"op": "test", "path": "/data/key", "value": "x"},
        {"op": "test", "path": "/data/key/deep", "value": "x"},
        {"op": "remove", "path": "/data/key/deep"},
    ):
        reply = await api.patch(f"{ns}/secrets/s", json=[operation], headers=JSON_PATCH)
        refused(reply, 422, "Invalid", "/data/key")
        assert "aHVzaA" not in reply.text
    absent = [{"op": "test", "path": "/data/none", "value": None}]
    ok(await api.patch(f"{ns}/secrets/s", json=absent, headers=JSON_PATCH))


async def test_times_are_read_as_go_reads_them_and_stored_as_go_writes_them(api: httpx.AsyncClient, ns: str) -> None:
    fields = {"action": "a", "reportingComponent": "c", "reportingInstance": "i"}
    whole = event("whole", name_of(ns), eventTime="2026-01-02T03:04:00Z", **fields)
    refused(await api.post(f"{ns}/events", json=whole), 400, "BadRequest", "eventTime: must be a time such as")
    zoned = event("zoned", name_of(ns), eventTime="2026-01-02T03:04:00.100000+01:00", **fields)
    stored = created(await api.post(f"{ns}/events", json={**zoned, "lastTimestamp": "2026-01-02T03:04:00.5+01:00"}))
    assert (stored["eventTime"], stored["lastTimestamp"]) == ("2026-01-02T02:04:00.100000Z", "2026-01-02T02:04:00Z")
