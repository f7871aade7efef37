"""Server-side apply against a model that keeps nothing but each field's value and its owners.

The fields are the keys of one map, so lists and defaults play no part. The model's rules: an apply owns what it names,
conflicts with every other owner of a different value, and removes what it alone owned and no longer names; an update
owns what it changes, and takes it from all others.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import codec, managed_fields
from apimachinery.errors import Conflict
from apimachinery.managed_fields.field_set import paths

CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
Values = dict[str, str]

_VALUES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=3)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["apply", "force", "update"]), st.sampled_from(["x", "y", "z"]), _VALUES), max_size=8
)


@dataclass
class Model:
    values: Values = field(default_factory=dict)
    owners: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """Key to who owns it: a manager, and whether by apply or update."""

    def conflicts(self, manager: str, values: Values) -> set[str]:
        """Of one's own updates, too: as a manager they are another."""
        me = (manager, "Apply")
        return {
            key
            for key, value in values.items()
            if key in self.values and self.values[key] != value and self.owners.get(key, set()) - {me}
        }

    def apply(self, manager: str, values: Values) -> None:
        me = (manager, "Apply")
        for key in [key for key, owners in self.owners.items() if me in owners and key not in values]:
            self.owners[key].discard(me)
            if not self.owners[key]:
                del self.owners[key], self.values[key]
        for key, value in values.items():
            if self.values.get(key) != value:
                self.owners[key] = set()
            self.values[key] = value
            self.owners.setdefault(key, set()).add(me)

    def update(self, manager: str, values: Values) -> None:
        me = (manager, "Update")
        for key in self.values.keys() - values.keys():
            self.owners.pop(key, None)
        for key, value in values.items():
            if self.values.get(key) != value:
                self.owners[key] = {me}
        self.values = dict(values)


class Real:
    """The same steps with documents and managedFields."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None
        self.time = 0

    def step(self, kind: str, manager: str, values: Values) -> None:
        self.time += 1
        # a label that all managers apply, since an object without owners is not tracked
        metadata: dict[str, Any] = {"name": "m", "labels": {"all": "agree"}}
        document: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        if values:
            document["data"] = dict(values)
        more: dict[str, Any] = {"definition": CONFIG_MAP, "api_version": "v1", "time": f"t{self.time}"}
        if kind == "update":
            entries = managed_fields.track_update(self.live, document, manager, **more)
            new = document
        else:
            new, entries = managed_fields.apply(self.live, document, manager, force=kind == "force", **more)
        new["metadata"] = {**metadata, "managedFields": codec.to_builtins(entries)}
        self.live = new

    @property
    def values(self) -> Values:
        return (self.live or {}).get("data") or {}

    @property
    def owners(self) -> dict[str, set[tuple[str, str]]]:
        owners: dict[str, set[tuple[str, str]]] = {}
        for entry in (self.live or {}).get("metadata", {}).get("managedFields") or ():
            for path in paths(msgspec.json.decode(msgspec.json.encode(entry["fieldsV1"]))):
                key = path.removeprefix(".data.")
                if key != path:
                    owners.setdefault(key, set()).add((entry["manager"], entry["operation"]))
        return owners


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_values_and_owners_are_the_models(steps: list[tuple[str, str, Values]]) -> None:
    model, real = Model(), Real()
    real.step("apply", "maker", {})
    for kind, manager, values in steps:
        if kind == "apply" and (clash := model.conflicts(manager, values)):
            with pytest.raises(Conflict) as refused:
                real.step(kind, manager, values)
            causes = refused.value.status().details.causes or []  # type: ignore[union-attr]
            assert {cause.field for cause in causes} == {f".data.{key}" for key in clash}
            continue
        real.step(kind, manager, values)
        if kind == "update":
            model.update(manager, values)
        else:
            model.apply(manager, values)
        assert real.values == model.values
        assert real.owners == model.owners
