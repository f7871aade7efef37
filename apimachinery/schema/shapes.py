"""The definitions as a tree that is quick to walk: what a value is, how it merges, who may own its parts.

A ``Shape`` describes one place in an object: a property's own ``x-kubernetes-*`` extensions win over those of the
definition that it refers to. Shapes are made once per definition on first use and are shared, so do not change them.
They may be recursive (JSONSchemaProps).
"""

from enum import Enum
from functools import cache
from typing import Any, Final

from apimachinery.schema.definitions import Definition, definitions, overlay, target


class Form(Enum):
    """What a value looks like as builtins."""

    SCALAR = "scalar"
    STRUCT = "struct"  # a dict with known fields
    MAP = "map"  # a dict with free keys and values of one shape
    LIST = "list"
    UNTYPED = "untyped"  # any value


class Shape:
    """One place in an object. ``name`` is its definition, or "" for a plain value."""

    __slots__ = (
        "atomic", "fields", "form", "is_set", "is_simple", "item", "keys", "merge_key", "name", "strategy",
    )  # fmt: skip

    def __init__(self, form: Form, name: str = "") -> None:
        self.form = form
        self.name = name
        self.fields: dict[str, Shape] = {}
        self.item: Shape | None = None
        self.is_simple = form in (Form.SCALAR, Form.UNTYPED)  # or a list or map of such: no fields anywhere in it
        self.is_set = False  # a list whose elements are its identity
        self.keys: tuple[tuple[str, Any], ...] = ()  # a list of structs: identifying fields with their defaults
        self.atomic = False  # owned as a whole
        self.merge_key = ""
        self.strategy = ""  # of strategic merge patches: "", "merge" or "replace"

    def child(self, key: str) -> "Shape":
        """The shape of a dict's value; a field that the schema does not know is untyped."""
        if self.form is Form.STRUCT:
            return self.fields.get(key, UNTYPED)
        return self.item or UNTYPED

    @property
    def element(self) -> "Shape":
        """The shape of a list's elements."""
        return self.item or UNTYPED


UNTYPED: Final = Shape(Form.UNTYPED)

_SCALARS: Final = frozenset(
    (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    )
)


@cache
def shape_of(name: str) -> Shape:
    """The shape of a definition, by its published name.

    Raises:
        KeyError: there is no such definition.
    """
    return _definition(name)


_shapes: Final[dict[str, Shape]] = {}


def _definition(name: str) -> Shape:
    """Registered before its fields are filled in, so that a recursive definition finds itself."""
    if name in _shapes:
        return _shapes[name]
    definition = definitions()[name]
    if name in _SCALARS:
        _shapes[name] = shape = Shape(Form.SCALAR, name)
        return shape
    if "properties" not in definition and not name.endswith("SubresourceStatus"):
        _shapes[name] = shape = Shape(Form.UNTYPED, name)
        return shape
    _shapes[name] = shape = Shape(Form.STRUCT, name)
    shape.atomic = definition.get("x-kubernetes-map-type") == "atomic"
    for wire, field in definition.get("properties", {}).items():
        shape.fields[wire] = _property(field)
    return shape


def _property(field: Definition) -> Shape:
    if (name := target(field)) is not None:
        return _reference(name, field)
    match field.get("type"):
        case "array":
            return _list(field)
        case "object":
            values = field.get("additionalProperties")
            shape = Shape(Form.MAP)
            shape.item = _property(values) if values else UNTYPED
            shape.is_simple = shape.item.is_simple
            shape.atomic = field.get("x-kubernetes-map-type") == "atomic"
            return shape
        case None:
            return UNTYPED
    return Shape(Form.SCALAR)


def _reference(name: str, field: Definition) -> Shape:
    shape = _definition(name)
    map_type, strategy = field.get("x-kubernetes-map-type"), _strategy(field)
    if map_type is None and not strategy:
        return shape
    own = Shape(shape.form, name)
    own.fields = shape.fields  # shared: it may still be filling up
    own.item = shape.item
    own.atomic = shape.atomic if map_type is None else map_type == "atomic"
    own.strategy = strategy
    return own


def _list(field: Definition) -> Shape:
    shape = Shape(Form.LIST)
    shape.item = _property(field["items"])
    shape.is_simple = shape.item.is_simple
    kind = field.get("x-kubernetes-list-type", "atomic")
    shape.atomic = kind == "atomic"
    shape.is_set = kind == "set"
    if kind == "map":
        defaults = overlay().get("keyDefaults", {}).get(shape.item.name, {})
        shape.keys = tuple((key, defaults.get(key)) for key in sorted(field["x-kubernetes-list-map-keys"]))
    shape.merge_key = field.get("x-kubernetes-patch-merge-key", "")
    shape.strategy = _strategy(field)
    return shape


def _strategy(field: Definition) -> str:
    """Without ``retainKeys``, which needs no support here: such a patch carries a directive."""
    words = [word for word in field.get("x-kubernetes-patch-strategy", "").split(",") if word != "retainKeys"]
    return words[0] if words else ""
