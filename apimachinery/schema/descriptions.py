"""Short descriptions of the API's kinds and fields, in Peapod's own words, for readers of OpenAPI documents.

They are in ``descriptions.json``. ``definitions`` is keyed by short name (``core.v1.Pod``): ``""`` describes the
definition itself, a field's name that field. ``like`` names a definition whose field descriptions another one reuses,
and ``common`` describes the fields that kinds, lists and conditions share. The most specific description wins. The file
is read again for each document: documents are rarely made, and daemons that serve none do not pay for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from apimachinery.schema.definitions import GVK, Definition

_FILE: Final = Path(__file__).with_name("descriptions.json")
_Words = dict[str, str]


class Descriptions(msgspec.Struct):
    """The file's content; see the module."""

    common: dict[str, _Words]
    like: dict[str, str]
    definitions: dict[str, _Words]

    def described(self, name: str, definition: Definition) -> Definition:
        """A copy of the definition with the descriptions of it and its fields."""
        words = self._words(name, definition)
        described = dict(definition)
        if own := words.get(""):
            described["description"] = own
        if fields := definition.get("properties"):
            described["properties"] = {
                name: {**field, "description": words[name]} if name in words else field
                for name, field in fields.items()
            }
        return described

    def _words(self, name: str, definition: Definition) -> Mapping[str, str]:
        short = short_name(name)
        words = dict(self.common[common]) if (common := _common(short, definition)) else {}
        if source := self.like.get(short):
            words |= {field: text for field, text in self.definitions[source].items() if field}
        return words | self.definitions.get(short, {})


def _common(short: str, definition: Definition) -> str | None:
    fields = definition.get("properties", {})
    if GVK in definition and "metadata" in fields:
        return "List" if short.endswith("List") and "items" in fields else "kind"
    return "Condition" if short.endswith("Condition") and {"type", "status"} <= set(fields) else None


def short_name(name: str) -> str:
    """``core.v1.Pod`` for ``io.k8s.api.core.v1.Pod``: the last three parts are unique."""
    return ".".join(name.rsplit(".", 3)[1:])


def load() -> Descriptions:
    """Read the descriptions from their file."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Descriptions)
