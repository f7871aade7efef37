"""Write ``apimachinery/types/*_v*.py`` from the definitions. Run by ``make generate``."""

import keyword
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from apimachinery.schema.definitions import GVK, Definition, always_written, definitions, target

_TYPES: Final = Path(__file__).parent.parent / "types"
_SCALARS: Final = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "JSON",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "JSON",
}
_ZERO: Final = {"str": "str", "bool": "bool", "Int32": "int", "Int64": "int", "float": "float"}
_MODULE: Final = re.compile(r"(\w+)\.(v\w+)$")
_WORDS: Final = re.compile(r"[A-Z]+s(?![a-z])|[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z0-9]+|[A-Z]+")
_META: Final = "meta_v1"
_LINE: Final = 120


def attribute(wire: str) -> str:
    """``clusterIPs`` -> ``cluster_ips``: acronyms stay whole, keywords get a trailing underscore."""
    words = [word for part in re.split(r"[^A-Za-z0-9]+", wire) for word in _WORDS.findall(part)]
    name = "_".join(words).lower()
    return f"{name}_" if keyword.iskeyword(name) or wire.startswith("$") else name


def module_of(definition: str) -> str:
    """``io.k8s.api.core.v1.Pod`` -> ``core_v1``."""
    package = definition.rsplit(".", 1)[0]
    match = _MODULE.search(package)
    return f"{match[1]}_{match[2]}" if match else package.rsplit(".", 1)[1] + "_info"


class Module:
    """One generated module: the definitions of one group and version."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.imports: set[str] = set()
        self.base: set[str] = set()
        self.objects: set[str] = set()
        self.classes: list[str] = []

    def add(self, name: str, definition: Definition) -> None:
        parent, preset = self._parent(definition)
        if parent == "ApiStruct":
            self.base.add(parent)
        lines = [f"class {name.rsplit('.', 1)[1]}({parent}):", *preset]
        inherited = {"kind", "apiVersion", "metadata"} if parent != "ApiStruct" else set()
        always = always_written(name)
        for wire, field in definition.get("properties", {}).items():
            if wire not in inherited:
                lines.append(f"    {attribute(wire)}: {self._field(wire, field, wire in always)}")
        self.classes.append("\n".join(lines if len(lines) > 1 else [*lines, "    pass"]))

    def _parent(self, definition: Definition) -> tuple[str, list[str]]:
        """The base class, and the lines that set a kind's ``kind`` and ``apiVersion``."""
        kinds = definition.get(GVK, [])
        metadata = target(definition.get("properties", {}).get("metadata", {})) or ""
        parent = {"ObjectMeta": "KubeObject", "ListMeta": "KubeList"}.get(metadata.rpartition(".")[2])
        if parent is None or len(kinds) != 1 or self.name == _META:  # objects.py, with the bases, imports meta
            return "ApiStruct", []
        self.objects.add(parent)
        self.base.add("constant")
        group, version, kind = kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"]
        preset = f'constant("{group}/{version}")' if group else f'constant("{version}")'
        return parent, [
            f'    kind: str | None = field(default_factory=constant("{kind}"))',
            f'    api_version: str | None = field(name="apiVersion", default_factory={preset})',
        ]

    def _field(self, wire: str, field: Definition, always: bool) -> str:
        kind = self._type(field)
        name = f'name="{wire}", ' if attribute(wire) != wire else ""
        if kind == "FieldsV1":
            self.base.add("NO_FIELDS")
            return f"FieldsV1 = field({name}default=NO_FIELDS)"
        if not always or kind in ("JSON", "Quantity", "IntOrString", "Time", "MicroTime"):
            optional = kind if kind == "JSON" else f"{kind} | None"
            return f"{optional} = field({name}default=None)" if name else f"{optional} = None"
        return f"{kind} = field({name}default_factory={self._zero(kind)})"

    def _zero(self, kind: str) -> str:
        if kind in _ZERO:
            return _ZERO[kind]
        for prefix, factory in (("list[", "empty_list"), ("dict[", "empty_map")):
            if kind.startswith(prefix):
                self.base.add(factory)
                return factory
        return f"lambda: {kind}()"  # evaluated late: the class may be defined further down

    def _type(self, field: Definition) -> str:
        if (name := target(field)) is not None:
            return self._reference(name)
        match field.get("type"):
            case "array":
                return f"list[{self._type(field['items'])}]"
            case "object":
                values = field.get("additionalProperties")
                return f"dict[str, {self._type(values) if values else self._scalar('JSON')}]"
            case "integer":
                return self._scalar("Int32" if field.get("format") == "int32" else "Int64")
            case "string" | "boolean" | "number" as plain:
                return {"string": "str", "boolean": "bool", "number": "float"}[plain]
        return self._scalar("JSON")

    def _scalar(self, name: str) -> str:
        if name != "str":
            self.base.add(name)
        return name

    def _reference(self, name: str) -> str:
        if name in _SCALARS:
            return self._scalar(_SCALARS[name])
        if "properties" not in definitions()[name] and name.rsplit(".", 1)[1].startswith("JSON"):
            return self._scalar("JSON")
        module, cls = module_of(name), name.rsplit(".", 1)[1]
        if module == self.name:
            return cls
        self.imports.add(module)
        return f"{module}.{cls}"

    def render(self) -> str:
        body = "\n\n\n".join(self.classes)
        first = [
            '"""Generated by ``make generate`` from the API\'s definitions. Do not edit."""',
            "",
            "from __future__ import annotations",
            "",
        ]
        imports = []
        if self.imports:
            imports.append(f"from apimachinery.types import {', '.join(sorted(self.imports))}")
        line = f"from apimachinery.types.base import {', '.join(sorted(self.base, key=_import_order))}"
        if len(line) > _LINE:
            names = (f"    {name}," for name in sorted(self.base, key=_import_order))
            line = "\n".join(["from apimachinery.types.base import (", *names, ")"])
        imports.append(line)
        if self.objects:
            imports.append(f"from apimachinery.types.objects import {', '.join(sorted(self.objects))}")
        library = ["from msgspec import field", ""] if "field(" in body else []
        return "\n".join([*first, *library, *imports, "", "", body]) + "\n"


def _import_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions: the order of ruff's import sorting."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def modules() -> Iterator[Module]:
    """Every module to write, with its classes in the order of their names."""
    names_by_module: dict[str, list[str]] = defaultdict(list)
    for name, definition in definitions().items():
        empty_struct = name.endswith("SubresourceStatus")
        if empty_struct or (name not in _SCALARS and "properties" in definition):
            names_by_module[module_of(name)].append(name)
    for module_name in sorted(names_by_module):
        module = Module(module_name)
        for name in sorted(names_by_module[module_name]):
            module.add(name, definitions()[name])
        yield module


def main() -> None:
    for stale in _TYPES.glob("*_v*.py"):
        stale.unlink()
    names = []
    for module in modules():
        (_TYPES / f"{module.name}.py").write_text(module.render())
        names.append(module.name)
    print(f"wrote {len(names)} modules to {_TYPES}: {', '.join(names)}")


if __name__ == "__main__":
    main()
