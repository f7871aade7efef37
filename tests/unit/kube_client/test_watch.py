"""Bytes of a stream into events."""

import json
from collections.abc import AsyncIterator

import pytest

from apimachinery import errors
from apimachinery.types import core_v1
from kube_client import watch

STATUS = {"kind": "Status", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
async def test_lines_do_not_depend_on_the_chunks(size: int) -> None:
    data = b"one\ntwo\n\nthree, and longer\nfour\n"
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    assert [line async for line in watch.lines(chunks(*parts))] == [b"one", b"two", b"three, and longer", b"four"]


async def test_a_line_that_was_cut_off_is_no_event() -> None:
    assert [line async for line in watch.lines(chunks(b"one\nt", b"w"))] == [b"one"]


def test_an_event_is_typed() -> None:
    event = watch.Decoder(core_v1.Pod).decode(
        b'{"type":"ADDED","object":{"metadata":{"name":"a"},"spec":{"containers":null}}}'
    )
    assert event.type == "ADDED"
    assert isinstance(event.object, core_v1.Pod)
    assert event.object.metadata.name == "a"


@pytest.mark.parametrize("kind", [core_v1.Pod, core_v1.ConfigMap], ids=["status is a struct", "no status"])
def test_an_error_event_is_raised(kind) -> None:
    line = json.dumps({"type": "ERROR", "object": STATUS}).encode()
    with pytest.raises(errors.Expired, match="too old"):
        watch.Decoder(kind).decode(line)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"type":"ADDED","object":{"metadata":5}}'])
def test_what_is_no_event_is_an_internal_error(line: bytes) -> None:
    with pytest.raises(errors.InternalError):
        watch.Decoder(core_v1.Pod).decode(line)
