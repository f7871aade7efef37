"""Frames of a client, split without loss however their bytes arrive."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage

from component_base.websocket_frames import FrameSplitter

LARGEST = 100_000


def client_bytes(*messages: bytes | str) -> bytes:
    """As a client of wsproto sends them, masked."""
    client = Connection(ConnectionType.CLIENT)
    events = [
        BytesMessage(data=message) if isinstance(message, bytes) else TextMessage(data=message) for message in messages
    ]
    return b"".join(client.send(event) for event in events)


@given(st.lists(st.integers(0, 70_000), max_size=4), st.integers(1, 70_000))
def test_binary_messages_come_out_whole(sizes: list[int], step: int) -> None:
    messages = [os.urandom(size) for size in sizes]
    data, splitter = client_bytes(*messages), FrameSplitter(LARGEST)
    parts = [part for i in range(0, len(data), step) for part in splitter.feed(data[i : i + step])]
    assert parts == [(True, message) for message in messages]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_other_frames_are_passed_on_unchanged(step: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    text, ping = client.send(TextMessage(data="hello")), client.send(Ping(payload=b"x"))
    fragment = client.send(BytesMessage(data=b"a", message_finished=False))
    rest = client.send(BytesMessage(data=b"b"))
    data, splitter = text + ping + fragment + rest + client_bytes(b"after"), FrameSplitter(LARGEST)
    parts = [part for i in range(0, len(data), step) for part in splitter.feed(data[i : i + step])]
    assert parts == [(False, text), (False, ping), (False, fragment), (False, rest), (True, b"after")]


def test_a_frame_that_is_too_large_is_passed_on_at_once() -> None:
    data, splitter = client_bytes(b"ok", bytes(LARGEST + 1)), FrameSplitter(LARGEST)
    parts = list(splitter.feed(data[:50]))
    assert parts[0] == (True, b"ok")
    assert parts[1:] == [(False, data[8:50])]
    assert list(splitter.feed(data[50:60])) == [(False, data[50:60])]


def test_an_unmasked_frame_is_passed_on() -> None:
    assert list(FrameSplitter(LARGEST).feed(b"\x82\x01a")) == [(False, b"\x82\x01a")]
