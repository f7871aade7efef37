"""Nothing that can be read as an object makes the rules of its kind fall over: they judge, they do not crash."""

import random
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from apimachinery import codec, errors
from apiserver.registry import metadata
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.subresources import ObjectSubresource, ViewSubresource
from tests.unit.apiserver.registry.rows import ROWS

_WORDS: Final = (
    "", "a", "A/b", "*", "-1", "1Gi", "99%", "x" * 300, "RollingUpdate", "OnDelete", "Container", "Indexed", "In",
    "Exists", "Resource", "Pods", "Limited", "Queue", "Always", "Never", "IPv4", "10.0.0.0/8", "2026-01-01T00:00:00Z",
    "\u00e4\u00b2", "storage", "Webhook", "ServiceAccount", "@every 1h", "1-2-3 * * * *", "TZ=", "Namespace",
)  # fmt: skip
_NUMBERS: Final = (-1, 0, 1, 80, 100_000, 2**31 - 1)
_DEEPEST: Final = 12


def value(chance: random.Random, kind: Any, depth: int = 0) -> Any:
    """Builtins that a type takes, at random."""
    match kind:
        case inspect.UnionType():
            return value(chance, chance.choice(kind.types), depth)
        case inspect.StructType():
            return struct(chance, kind, depth)
        case inspect.ListType():
            return [value(chance, kind.item_type, depth + 1) for _ in range(chance.randint(0, 2))]
        case inspect.DictType():
            return {
                chance.choice(_WORDS): value(chance, kind.value_type, depth + 1) for _ in range(chance.randint(0, 2))
            }
        case inspect.StrType():
            return "2026-01-01T00:00:00Z" if kind.pattern else chance.choice(_WORDS)
        case inspect.IntType() | inspect.FloatType():
            return chance.choice(_NUMBERS)
        case inspect.BoolType():
            return chance.random() < 0.5
        case inspect.NoneType():
            return None
        case _:
            return chance.choice(({"a": 1}, "x", 3, [1]))


def struct(chance: random.Random, kind: inspect.StructType, depth: int) -> dict[str, Any]:
    document = {}
    for field in kind.fields:
        deep = depth > _DEEPEST or field.name == "managed_fields"
        if field.encode_name not in ("apiVersion", "kind") and not deep and chance.random() < 0.75:
            document[field.encode_name] = value(chance, field.type, depth + 1)
    return document


def objects(info: ResourceInfo[Any], count: int) -> list[Any]:
    chance, kind = random.Random(info.resource.plural), inspect.type_info(info.type)
    assert isinstance(kind, inspect.StructType)
    made = []
    while len(made) < count:
        document = struct(chance, kind, 0)
        document["metadata"] = {"name": "a", "annotations": {"a/b": "c"}}
        try:
            made.append(codec.from_builtins(document, info.type))
        except (errors.BadRequest, msgspec.EncodeError):
            continue
    return made


@pytest.mark.parametrize("info", ROWS, ids=lambda info: f"{info.resource.plural}.{info.resource.api_version}")
def test_any_object_is_judged(info: ResourceInfo[Any]) -> None:
    samples = objects(info, 40)
    subresources = info.subresources.values()
    strategies = [info.strategy, *(part.strategy for part in subresources if isinstance(part, ObjectSubresource))]
    for new, old in zip(samples, reversed(samples), strict=True):
        metadata.fill_for_create(new.metadata, "default" if info.resource.namespaced else "")
        for strategy in strategies:
            obj, before = codec.copy(new), codec.copy(old)
            strategy.default(obj)
            strategy.default(before)
            strategy.prepare_for_create(before)
            list(strategy.warnings(obj))
            assert list(strategy.validate(obj)) is not None
            strategy.prepare_for_update(obj, before)
            list(strategy.validate_update(obj, before))
            strategy.desired_state(obj)
            for column in info.columns:
                codec.encode(column.cell(obj))
            for look in info.fields.values():
                assert isinstance(look(obj), str)
            for part in subresources:
                if isinstance(part, ViewSubresource):
                    codec.encode(part.read(obj))
