"""How watch events go over the wire."""

from apimachinery import codec
from apimachinery.types.core_v1 import ConfigMap
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.handlers.watches import chunk_of, line_of
from apiserver.storage import Event, Stored


def stored(revision: int) -> Stored[ConfigMap]:
    obj = ConfigMap(metadata=ObjectMeta(name="a", resource_version=str(revision)))
    return Stored("k", obj, codec.encode(obj), revision)


def test_an_event_is_encoded_once_for_all_watchers() -> None:
    event = Event("k", 5, stored(3), stored(5), 0.0)
    assert chunk_of(event, "MODIFIED") is chunk_of(event, "MODIFIED")
    assert line_of(event, "ADDED") != line_of(event, "MODIFIED")


def test_a_line_is_one_json_document_and_a_chunk_is_the_line_with_its_length() -> None:
    event = Event("k", 5, stored(3), None, 0.0)
    line, chunk = line_of(event, "DELETED"), chunk_of(event, "DELETED")
    assert codec.parse(line) == {"type": "DELETED", "object": codec.parse(event.gone.data)}
    assert line.endswith(b"\n")
    assert chunk == b"%x\r\n%b\r\n" % (len(line), line)
