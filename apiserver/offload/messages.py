"""Messages between the apiserver and the process beside it: a length of four bytes, and MessagePack."""

import asyncio
import pickle
import socket
import struct
from typing import Any, Final, TypeVar

import msgspec

from apiserver.request import User

_LENGTH: Final = struct.Struct("!I")
_ENCODER: Final = msgspec.msgpack.Encoder()

Headers = list[tuple[bytes, bytes]]


class Task(msgspec.Struct):
    """A request whose user is known."""

    number: int
    user: User
    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes


class Answer(msgspec.Struct):
    """The answer to the task of this number."""

    number: int
    code: int
    headers: Headers
    body: bytes


T = TypeVar("T", Task, Answer)


def send_options(sock: socket.socket, options: Any) -> None:
    """The first message: how the apiserver was configured. It may be pickled, as it comes from the parent."""
    data = pickle.dumps(options)
    sock.sendall(_LENGTH.pack(len(data)) + data)


def receive_options(sock: socket.socket) -> Any:
    with sock.makefile("rb", buffering=0) as file:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        return pickle.loads(file.read(length))


def framed(message: Task | Answer) -> tuple[bytes, bytes]:
    data = _ENCODER.encode(message)
    return _LENGTH.pack(len(data)), data


async def receive(reader: asyncio.StreamReader, cls: type[T]) -> T | None:
    """The next message; None if the other side has ended."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return msgspec.msgpack.decode(await reader.readexactly(length), type=cls)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
