"""What is in ``tests/manifests`` is accepted, read back unchanged but for defaults, and the same applied twice."""

import base64
import subprocess
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apimachinery import quantity, scheme, yaml_loader
from tests.integration.apiserver.objects import name_of, ok
from tests.integration.apiserver_process import ApiserverProcess

FOLDER = Path(__file__).parents[2] / "manifests"
FILES = sorted(file for file in FOLDER.rglob("*.yaml") if "golden" not in file.parts)  # those are pairs


def label(file: Path) -> str:
    return str(file.relative_to(FOLDER).with_suffix(""))


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one, _ in yaml_loader.load_all(text.encode()) if one is not None]


def lost(sent: Any, shown: Any, path: str = "") -> list[str]:
    """The places of a document that an answer does not show as they were sent; what is null was not sent."""
    if sent is None:
        return []
    if isinstance(sent, dict):
        if not isinstance(shown, dict):
            return [] if not sent and shown is None else [path]
        return [place for key, one in sent.items() for place in lost(one, shown.get(key), f"{path}.{key}")]
    if isinstance(sent, list):
        if not isinstance(shown, list) or len(shown) < len(sent):
            return [path]
        return [place for i, one in enumerate(sent) for place in lost(one, shown[i], f"{path}[{i}]")]
    if any(one in path for one in (".limits.", ".requests.", ".hard.")) or path.endswith((".sizeLimit", ".divisor")):
        return [] if shown is not None and quantity.parse(shown) == quantity.parse(sent) else [path]
    if sent == "" and shown is None:
        return []
    return [] if sent == shown and type(sent) is type(shown) else [path]


def read(file: Path, ns: str) -> str:
    return file.read_text().replace("NAMESPACE", name_of(ns))


def as_stored(document: dict[str, Any]) -> dict[str, Any]:
    """What a secret's document means: strings are kept as data, and line breaks in base64 mean nothing."""
    if document["kind"] != "Secret":
        return document
    written = {
        key: base64.b64encode(text.encode()).decode() for key, text in (document.get("stringData") or {}).items()
    }
    data = {key: text.replace("\n", "") for key, text in (document.get("data") or {}).items()}
    return {**{key: one for key, one in document.items() if key != "stringData"}, "data": {**data, **written}}


def test_a_difference_is_seen() -> None:
    assert lost({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "x", "d": 1}]}}) == []
    assert lost({"a": {"b": [1, {"c": "x"}]}}, {"a": {"b": [1, {"c": "y"}]}}) == [".a.b[1].c"]
    assert lost({"a": "1"}, {"a": 1}) == [".a"]
    assert lost({"a": [1, 2]}, {"a": [1]}) == [".a"]
    assert lost({"a": 0}, {}) == [".a"]
    assert lost({"limits": {"cpu": 0.5}}, {"limits": {"cpu": "501m"}}, ".r") == [".r.limits.cpu"]
    assert quantity.parse("500m") == Decimal("0.5")


class Homes:
    """The namespaces that documents name; what a test put there is gone when it ends, as others use them too."""

    def __init__(self, api: httpx.AsyncClient, own: str) -> None:
        self._api, self._own = api, own
        self._elsewhere: list[str] = []

    async def make(self, sent: list[dict[str, Any]]) -> bool:
        """Whether a document lives outside the test's own namespace."""
        named = {one["metadata"]["namespace"] for one in sent if "namespace" in one["metadata"]}
        for name in sorted(named):
            reply = await self._api.post("/api/v1/namespaces", json={"metadata": {"name": name}})
            assert reply.status_code in (201, 409), reply.text
        self._elsewhere += [place(one, "default") for one in sent] if named else []
        return bool(named)

    def place(self, document: dict[str, Any]) -> str:
        return place(document, self._own)

    async def empty(self) -> None:
        for path in self._elsewhere:
            reply = await self._api.delete(path, params={"gracePeriodSeconds": "0"})
            assert reply.status_code in (200, 202, 404), reply.text


@pytest.fixture
async def homes(api: httpx.AsyncClient, ns: str) -> AsyncIterator[Homes]:
    made = Homes(api, name_of(ns))
    yield made
    await made.empty()


@pytest.mark.parametrize("file", FILES, ids=label)
async def test_a_manifest_is_accepted_and_kept(
    shared: ApiserverProcess, api: httpx.AsyncClient, ns: str, homes: Homes, file: Path
) -> None:
    text = read(file, ns)
    sent = documents(text)
    # kubectl refuses documents that name another namespace than its flag does
    where = [] if await homes.make(sent) else ["-n", name_of(ns)]

    def apply() -> list[str]:
        done = subprocess.run(
            ["kubectl", *where, "apply", "-f", "-"],
            env=shared.environment(), input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first = apply()
    assert [line.rpartition(" ")[2] for line in first] == ["created"] * len(sent)
    for document in sent:
        shown = ok(await api.get(homes.place(document)))
        assert lost(as_stored(document), shown) == []
    versions = [ok(await api.get(homes.place(one)))["metadata"]["resourceVersion"] for one in sent]
    # kubectl sends what it takes for a change (0.5 is stored as 500m); the server sees that it is none
    assert {line.rpartition(" ")[2] for line in apply()} <= {"unchanged", "configured"}
    assert [ok(await api.get(homes.place(one)))["metadata"]["resourceVersion"] for one in sent] == versions


@pytest.mark.parametrize("file", FILES, ids=label)
async def test_a_manifest_can_be_posted_as_yaml(api: httpx.AsyncClient, ns: str, homes: Homes, file: Path) -> None:
    sent = documents(read(file, ns))
    await homes.make(sent)
    for document in sent:
        collection = homes.place(document).rpartition("/")[0]
        if document["kind"] == "Service":  # the port that it names is held by the one that was applied
            for port in document["spec"].get("ports", ()):
                port.pop("nodePort", None)
        reply = await api.post(
            collection, content=yaml.safe_dump(document), params={"fieldValidation": "Strict"},
            headers={"Content-Type": "application/yaml"},
        )  # fmt: skip
        assert reply.status_code in (201, 409), reply.text
        if reply.status_code == 201:
            assert lost(as_stored(document), reply.json()) == []


def place(document: dict[str, Any], ns: str) -> str:
    """Where an object is served; in ``ns`` unless it names a namespace."""
    cls = scheme.type_of(document["apiVersion"], document["kind"])
    assert cls is not None, document["kind"]
    return scheme.resource_of(cls).path(document["metadata"].get("namespace", ns), document["metadata"]["name"])
