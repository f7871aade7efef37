"""The API's definitions: the published ones with our overlay laid over them.

A definition is a dict as OpenAPI v2 has it: ``properties``, ``required``, ``x-kubernetes-*``. Its name is the
published one (``io.k8s.api.core.v1.Pod``). Everything is read once and never changed.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

Definition = dict[str, Any]

_HERE: Final = Path(__file__).parent
_PREFIX: Final = "#/definitions/"
GVK: Final = "x-kubernetes-group-version-kind"


@cache
def overlay() -> dict[str, Any]:
    """What the published data leaves out; ``overlay.json`` explains its keys."""
    loaded: dict[str, Any] = msgspec.json.decode((_HERE / "overlay.json").read_bytes())
    return loaded


@cache
def definitions() -> dict[str, Definition]:
    """Every definition by name."""
    published = msgspec.json.decode((_HERE / "definitions.json").read_bytes())
    merged: dict[str, Definition] = {**published["definitions"], **overlay()["definitions"]}
    for name, fields in overlay()["fields"].items():
        merged[name]["properties"].update(fields)
    return merged


def target(field: Definition) -> str | None:
    """The name of the definition that a property refers to, or None for a plain value."""
    ref = field.get("$ref")
    return ref.removeprefix(_PREFIX) if isinstance(ref, str) else None


@lru_cache(maxsize=4096)  # bounded: requests name kinds that do not exist
def definition_name(group: str, version: str, kind: str) -> str | None:
    """The definition of one kind, or None if the data has no such kind."""
    gvk = {"group": group, "version": version, "kind": kind}
    for name, definition in definitions().items():
        if gvk in definition.get(GVK, ()):
            return name
    return None


@cache
def always_written(name: str) -> frozenset[str]:
    """The fields of a definition that Go writes even when they are empty.

    They are the required ones, the ``metadata``, ``spec`` and ``status`` of a kind (structs in Go, which
    ``omitempty`` does not omit), and the overlay's rows.
    """
    definition = definitions()[name]
    fields = set(definition.get("required", ())) | set(overlay()["always"].get(name, ()))
    if GVK in definition:
        fields |= {"metadata", "spec", "status"} & set(definition.get("properties", ()))
    return frozenset(fields)
