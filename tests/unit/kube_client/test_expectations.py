"""When a controller may act again."""

import asyncio

import pytest

from apimachinery.meta import Key
from apimachinery.types import core_v1, meta_v1
from kube_client import Expectations

KEY = Key("default", "web")


def pod(uid: str, deleting: bool = False) -> core_v1.Pod:
    stamp = "2026-01-01T00:00:00Z" if deleting else None
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(name=uid, namespace="default", uid=uid, deletion_timestamp=stamp))


async def test_a_creation_is_expected_until_its_event() -> None:
    expected = Expectations()
    assert expected.met(KEY)
    for _ in range(2):
        with expected.creation(KEY):
            pass
    assert not expected.met(KEY)
    expected.observe(KEY, None, pod("a"))
    assert not expected.met(KEY)
    expected.observe(KEY, pod("a"), pod("a"))  # a change is no creation
    assert not expected.met(KEY)
    expected.observe(KEY, None, pod("b"))
    assert expected.met(KEY)


async def test_a_creation_seen_before_its_call_returns_is_not_awaited() -> None:
    expected = Expectations()
    with expected.creation(KEY):
        expected.observe(KEY, None, pod("a"))
    assert expected.met(KEY)


@pytest.mark.parametrize("deletion", [(pod("a"), None), (pod("a"), pod("a", deleting=True))])
async def test_a_deletion_is_expected_by_uid(deletion: tuple[core_v1.Pod, core_v1.Pod | None]) -> None:
    expected = Expectations()
    with expected.deletion(KEY, pod("a")):
        pass
    expected.observe(KEY, pod("b"), None)
    assert not expected.met(KEY)
    expected.observe(KEY, *deletion)
    assert expected.met(KEY)


@pytest.mark.parametrize("what", ["creation", "deletion"])
async def test_a_call_that_fails_is_not_awaited(what: str) -> None:
    expected = Expectations()
    context = expected.creation(KEY) if what == "creation" else expected.deletion(KEY, pod("a"))
    with pytest.raises(ValueError, match="refused"), context:
        raise ValueError("refused")
    assert expected.met(KEY)


async def test_keys_are_apart_and_can_be_forgotten() -> None:
    expected = Expectations()
    with expected.creation(KEY):
        pass
    assert expected.met(Key("default", "other"))
    expected.forget(KEY)
    assert expected.met(KEY)


def test_what_is_never_seen_is_given_up_after_five_minutes(virtual) -> None:
    async def main() -> None:
        expected = Expectations()
        with expected.creation(KEY):
            pass
        await asyncio.sleep(299)
        assert not expected.met(KEY)
        await asyncio.sleep(2)
        assert expected.met(KEY)
        with expected.creation(KEY):  # the old record does not blur the new one
            pass
        expected.observe(KEY, None, pod("a"))
        assert expected.met(KEY)

    virtual(main())
