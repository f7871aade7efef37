"""What a request means before anything is looked up: its path, and the form that its answer is to have."""

import pytest

from apimachinery import errors
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML, negotiate
from apiserver.handlers.request_info import locate

TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("api/v1/pods", ("", "v1", "", "pods", "", "")),
        ("api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("api/v1/namespaces/x", ("", "v1", "x", "namespaces", "x", "")),
        ("api/v1/namespaces/x/status", ("", "v1", "x", "namespaces", "x", "status")),
        ("api/v1/namespaces/x/finalize", ("", "v1", "x", "namespaces", "x", "finalize")),
        ("api/v1/namespaces/x/pods", ("", "v1", "x", "pods", "", "")),
        ("api/v1/namespaces/x/pods/y", ("", "v1", "x", "pods", "y", "")),
        ("api/v1/namespaces/x/pods/y/log", ("", "v1", "x", "pods", "y", "log")),
        ("api/v1/nodes/n/status", ("", "v1", "", "nodes", "n", "status")),
        ("apis/g.io/v2/things", ("g.io", "v2", "", "things", "", "")),
        ("apis/g.io/v2/namespaces/x/things/y/scale", ("g.io", "v2", "x", "things", "y", "scale")),
    ],
)
def test_a_path_names_a_place(path: str, expected: tuple[str, ...]) -> None:
    place = locate(path.split("/"))
    assert place is not None
    parts = (place.group, place.version, place.namespace, place.resource, place.name, place.subresource)
    assert parts == expected
    assert list(place.rest) == []


def test_what_follows_a_subresource_is_kept() -> None:
    place = locate(["api", "v1", "namespaces", "x", "services", "y", "proxy", "a", "b"])
    assert place is not None
    assert (place.subresource, list(place.rest)) == ("proxy", ["a", "b"])


@pytest.mark.parametrize("path", ["api", "apis", "api/v1", "apis/g.io", "apis/g.io/v1"])
def test_discovery_names_no_place(path: str) -> None:
    assert locate(path.split("/")) is None


@pytest.mark.parametrize(
    ("accept", "media_type", "shape"),
    [
        ("", JSON, ""),
        ("*/*", JSON, ""),
        ("application/*", JSON, ""),
        ("text/html, */*;q=0.8", JSON, ""),
        ("application/yaml", YAML, ""),
        (PROTOBUF, PROTOBUF, ""),
        (f"{PROTOBUF},{JSON}", JSON, ""),
        (f"{TABLE},{JSON}", JSON, "Table"),
        (f"{JSON};as=Table;v=v1;g=example.com,{JSON}", JSON, ""),
        (f"{JSON};as=PartialObjectMetadata;v=v1;g=meta.k8s.io", JSON, "PartialObjectMetadata"),
        (f"{JSON};stream=watch", JSON, ""),
    ],
)
def test_the_form_of_an_answer(accept: str, media_type: str, shape: str) -> None:
    form = negotiate(accept)
    assert (form.media_type, form.shape) == (media_type, shape)


@pytest.mark.parametrize("accept", ["text/html", "application/cbor", f"{JSON};as=Wish;v=v1;g=meta.k8s.io", ";;,"])
def test_a_form_that_nobody_makes(accept: str) -> None:
    with pytest.raises(errors.NotAcceptable):
        negotiate(accept)
