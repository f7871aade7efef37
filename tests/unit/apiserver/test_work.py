"""What a request is reckoned to cost, before its body is read: what is usual stays on the event loop, bombs do not."""

from typing import Any, cast

import pytest

from apiserver.handlers import work
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, YAML, Form
from apiserver.handlers.rendering import Renderer
from apiserver.handlers.verbs import Call
from apiserver.registry.core.configmaps import CONFIG_MAPS
from apiserver.registry.subresources import WHOLE
from apiserver.request import Attributes, User

APPLY, JSON_PATCH, MERGE_PATCH = (
    f"application/{kind}" for kind in ("apply-patch+yaml", "json-patch+json", "merge-patch+json")
)
TABLE = Form(JSON, "Table", "v1")


class Served:
    """A resource with so many objects of so many bytes."""

    info = CONFIG_MAPS

    def __init__(self, objects: int, size: int) -> None:
        self._objects, self._size = objects, size

    def count(self, namespace: str) -> int:
        return self._objects

    def size(self, key: object) -> int:
        return self._size


def cost(
    verb: str, body: int | None = 0, media: str = JSON, *, stored: int = 0, objects: int = 0, query: str = "",
    form: Form | None = None, **headers: str,
) -> float:  # fmt: skip
    sent = {"content-type": media, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        sent["content-length"] = str(body)
    scope = {
        "method": "", "path": "", "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    request = Request(scope, cast(Any, None), cast(Any, None))
    attributes = Attributes(User("me"), verb, "", resource="configmaps", namespace="default", name="a")
    out = Renderer(cast(Any, CONFIG_MAPS.kind), (), form or Form())
    return work.cost(Call(request, attributes, cast(Any, Served(objects, stored)), cast(Any, WHOLE), out), verb)


@pytest.mark.parametrize(
    "milliseconds",
    [
        cost("get", stored=1_000_000),
        cost("list", objects=10_000),
        cost("list", objects=500, form=TABLE),
        cost("list", objects=10_000, query="limit=500", form=TABLE),
        cost("create", 4_000),
        cost("create", 4_000, YAML),
        cost("update", 20_000, stored=20_000),
        cost("patch", 200, MERGE_PATCH, stored=50_000),
        cost("patch", 300, JSON_PATCH, stored=20_000),
        cost("patch", 10_000, APPLY, stored=10_000),
        cost("delete", stored=1_000_000),
    ],
)
def test_what_is_usual_is_served_at_once(milliseconds: float) -> None:
    assert milliseconds < work.TOO_MUCH


@pytest.mark.parametrize(
    "milliseconds",
    [
        cost("get", stored=100_000, form=Form(YAML)),
        cost("list", objects=100, form=Form(YAML)),
        cost("list", objects=10_000, form=TABLE),
        cost("list", objects=10_000, query="labelSelector=a"),
        cost("list", objects=1000, query=f"limit=1&labelSelector={'!a,' * 1000}"),
        cost("create", 100_000),
        cost("create", 30_000, YAML),
        cost("create", 30_000, "text/unheard-of"),
        cost("create", None, transfer_encoding="chunked"),
        cost("create", 1000, content_encoding="gzip"),
        cost("patch", 40, MERGE_PATCH, stored=500_000),
        cost("patch", 5000, JSON_PATCH, stored=10_000),
        cost("patch", 50_000, APPLY),
    ],
)
def test_what_would_hold_up_others_is_not(milliseconds: float) -> None:
    assert milliseconds > work.TOO_MUCH


def test_seats_grow_with_the_cost_and_are_bounded() -> None:
    assert [work.seats(milliseconds) for milliseconds in (0.0, 5.0, 1e6)] == [1, 3, 25]
