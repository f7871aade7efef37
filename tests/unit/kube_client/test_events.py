"""What ends up on the server of what a component tells; in virtual time."""

import asyncio
import re

import pytest
from prometheus_client import REGISTRY

from apimachinery.types import core_v1, meta_v1
from kube_client import EventRecorder

POD = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="web", namespace="team", uid="u1", resource_version="7"))
NODE = core_v1.Node(metadata=meta_v1.ObjectMeta(name="node-1", uid="u2"))


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("event_recorder_dropped_total", {"reason": reason}) or 0.0


@pytest.fixture
def recording(virtual, scripted, connected):
    """Run ``test(api, recorder)`` in virtual time; the recorder is at work meanwhile."""

    def run(test) -> None:
        async def main() -> None:
            api = scripted()
            async with connected(api) as client:
                recorder = EventRecorder(client, component="kubelet", host="node-1")
                task = asyncio.create_task(recorder.run())
                await test(api, recorder)
                task.cancel()
                await asyncio.wait([task])
                test.after(api) if hasattr(test, "after") else None

        virtual(main())

    return run


async def settled(api) -> list[dict]:
    await asyncio.sleep(60)
    return [*api.objects.values()]


def test_an_event_names_its_object_and_its_source(recording) -> None:
    async def test(api, recorder) -> None:
        recorder.event(POD, "Normal", "Started", "Started container web", field_path="spec.containers{web}")
        (event,) = await settled(api)
        assert re.fullmatch(r"web\.[0-9a-f]{16}", event["metadata"]["name"])
        assert event["metadata"]["namespace"] == "team"
        assert event["involvedObject"] == {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "team",
            "name": "web",
            "uid": "u1",
            "resourceVersion": "7",
            "fieldPath": "spec.containers{web}",
        }
        assert (event["type"], event["reason"], event["message"]) == ("Normal", "Started", "Started container web")
        assert event["source"] == {"component": "kubelet", "host": "node-1"}
        assert event["reportingComponent"] == "kubelet"
        assert event["count"] == 1

    recording(test)


def test_events_of_cluster_scoped_objects_live_in_the_default_namespace(recording) -> None:
    async def test(api, recorder) -> None:
        recorder.event(NODE, "Normal", "NodeReady", "ready")
        (event,) = await settled(api)
        assert event["metadata"]["namespace"] == "default"
        assert "namespace" not in event["involvedObject"]

    recording(test)


def test_equal_events_are_counted_in_one(recording) -> None:
    async def test(api, recorder) -> None:
        for _ in range(3):
            recorder.event(POD, "Warning", "BackOff", "restarting")
        recorder.event(POD, "Warning", "Failed", "restarting")
        events = await settled(api)
        assert sorted((event["reason"], event["count"]) for event in events) == [("BackOff", 3), ("Failed", 1)]

    recording(test)


def test_an_event_that_has_expired_on_the_server_is_made_anew(recording) -> None:
    async def test(api, recorder) -> None:
        recorder.event(POD, "Normal", "Pulled", "x")
        await settled(api)
        api.drop(next(iter(api.objects)))
        recorder.event(POD, "Normal", "Pulled", "x")
        (event,) = await settled(api)
        assert event["count"] == 1

    recording(test)


def test_too_many_different_messages_are_combined(recording) -> None:
    async def test(api, recorder) -> None:
        for n in range(15):
            recorder.event(POD, "Warning", "Failed", f"attempt {n}")
        events = await settled(api)
        combined = [event for event in events if event["message"].startswith("(combined from similar events): ")]
        assert len(events) == 11
        assert [event["count"] for event in combined] == [5]

    recording(test)


def test_a_source_that_talks_too_much_about_one_object_is_not_heard(recording) -> None:
    async def test(api, recorder) -> None:
        before = dropped("rate")
        for _ in range(40):
            recorder.event(POD, "Normal", "Same", "same")
        recorder.event(NODE, "Normal", "Other", "another object is heard")
        events = await settled(api)
        assert {event["reason"]: event["count"] for event in events} == {"Same": 25, "Other": 1}
        assert dropped("rate") - before == 15
        await asyncio.sleep(601)  # two more every ten minutes
        for _ in range(5):
            recorder.event(POD, "Normal", "Same", "same")
        events = await settled(api)
        assert max(event["count"] for event in events) == 27

    recording(test)


def test_a_server_that_is_away_for_a_moment_loses_nothing_and_for_long_the_event(recording) -> None:
    async def test(api, recorder) -> None:
        before = dropped("unavailable")
        api.fail = lambda method, path: 503
        recorder.event(POD, "Normal", "One", "x")
        await asyncio.sleep(1)
        api.fail = lambda method, path: None
        assert [event["reason"] for event in await settled(api)] == ["One"]
        api.fail = lambda method, path: 500
        recorder.event(POD, "Normal", "Two", "x")
        await settled(api)
        api.fail = lambda method, path: None
        assert len(await settled(api)) == 1
        assert dropped("unavailable") - before == 1

    recording(test)


def test_a_refused_event_is_dropped_at_once(recording) -> None:
    async def test(api, recorder) -> None:
        api.fail = lambda method, path: 403
        recorder.event(POD, "Normal", "One", "x")
        await settled(api)
        assert len(api.requests) == 1

    recording(test)


def test_telling_never_blocks_nor_raises_however_full_the_queue(recording) -> None:
    async def test(api, recorder) -> None:
        before = dropped("queue")
        for n in range(1200):
            pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(name=f"p{n}", namespace="team", uid=f"u{n}"))
            recorder.event(pod, "Normal", "Scheduled", "x")
        assert dropped("queue") - before == 200

    recording(test)


def test_what_is_queued_is_written_when_the_daemon_stops(recording) -> None:
    async def test(api, recorder) -> None:
        await asyncio.sleep(1)
        recorder.event(POD, "Normal", "Killing", "x")

    def after(api) -> None:
        assert [event["reason"] for event in api.objects.values()] == ["Killing"]

    test.after = after
    recording(test)
