"""What is in ``tests/manifests`` is accepted, read back unchanged but for defaults, and the same applied twice."""

import base64
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apimachinery import quantity, yaml_loader
from tests.integration.apiserver.objects import name_of, ok
from tests.integration.apiserver_process import ApiserverProcess

FOLDER = Path(__file__).parents[2] / "manifests"
FILES = sorted(FOLDER.rglob("*.yaml"))
_PLURALS = {"Endpoints": "endpoints"}


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
    if ".limits." in path or ".requests." in path or path.endswith((".sizeLimit", ".divisor")):
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


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_manifest_is_accepted_and_kept(
    shared: ApiserverProcess, api: httpx.AsyncClient, ns: str, file: Path
) -> None:
    text = read(file, ns)

    def apply() -> list[str]:
        done = subprocess.run(
            ["kubectl", "-n", name_of(ns), "apply", "-f", "-"],
            env=shared.environment(), input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    sent = documents(text)
    first = apply()
    assert [line.rpartition(" ")[2] for line in first] == ["created"] * len(sent)
    for document in sent:
        shown = ok(await api.get(place(document, ns)))
        assert lost(as_stored(document), shown) == []
    versions = [ok(await api.get(place(one, ns)))["metadata"]["resourceVersion"] for one in sent]
    # kubectl sends what it takes for a change (0.5 is stored as 500m); the server sees that it is none
    assert {line.rpartition(" ")[2] for line in apply()} <= {"unchanged", "configured"}
    assert [ok(await api.get(place(one, ns)))["metadata"]["resourceVersion"] for one in sent] == versions


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_manifest_can_be_posted_as_yaml(api: httpx.AsyncClient, ns: str, file: Path) -> None:
    for document in documents(read(file, ns)):
        collection = place(document, ns).rpartition("/")[0]
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
    kind, name = document["kind"], document["metadata"]["name"]
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    if kind in ("Namespace", "Node"):
        return f"/api/v1/{plural}/{name}"
    root = ns.replace("/api/v1", "/apis/coordination.k8s.io/v1") if kind == "Lease" else ns
    return f"{root}/{plural}/{name}"
