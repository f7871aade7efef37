"""Sets of fields in their wire format (``FieldsV1``), and the algebra on them.

A set is a tree of dicts: ``{"f:spec": {"f:ports": {'k:{"port":80}': {".": {}, "f:name": {}}}}}``. A place is a
member when its dict is empty or holds ``"."``; otherwise it only leads to members below. Sets are never changed
in place, so parts may be shared.
"""

from collections.abc import Iterator
from typing import Any, Final

from apimachinery import codec

Fields = dict[str, Any]

MEMBER: Final[Fields] = {}
_SELF: Final = "."


def is_member(node: Fields) -> bool:
    return not node or _SELF in node


def _node(member: bool, children: Fields) -> Fields | None:
    """A place with what is below it; None if it is empty."""
    if not children:
        return MEMBER if member else None
    return {_SELF: MEMBER, **children} if member else children


def below(node: Fields) -> Fields:
    """The members below a place, without the place itself."""
    return {key: child for key, child in node.items() if key != _SELF} if _SELF in node else node


def union(left: Fields, right: Fields) -> Fields:
    if not left or not right:
        return left or right
    joined = dict(left)
    for key, theirs in right.items():
        mine = joined.get(key)
        if mine is None:
            joined[key] = theirs
        elif mine != theirs:
            node = _node(is_member(mine) or is_member(theirs), union(below(mine), below(theirs)))
            joined[key] = MEMBER if node is None else node
    return joined


def difference(left: Fields, right: Fields) -> Fields:
    """The members of ``left`` that ``right`` does not have."""
    if not left or not right:
        return left
    rest: Fields = {}
    for key, mine in left.items():
        theirs = right.get(key)
        if theirs is None:
            rest[key] = mine
            continue
        member = is_member(mine) and not is_member(theirs)
        node = _node(member, difference(below(mine), below(theirs)))
        if node is not None:
            rest[key] = node
    return rest


def intersection(left: Fields, right: Fields) -> Fields:
    both: Fields = {}
    for key, mine in left.items():
        theirs = right.get(key)
        if theirs is not None:
            member = is_member(mine) and is_member(theirs)
            node = _node(member, intersection(below(mine), below(theirs)))
            if node is not None:
                both[key] = node
    return both


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """Every member as a path for people: ``.spec.containers[name="a"].image``."""
    for key, node in sorted(fields.items()):
        if key == _SELF:
            continue
        path = prefix + _element(key)
        if is_member(node):
            yield path
        yield from paths(node, path)


def _element(key: str) -> str:
    kind, _, text = key.partition(":")
    match kind:
        case "f":
            return f".{text}"
        case "k":
            named = codec.parse(text.encode())
            return f"[{','.join(f'{k}={codec.encode(v).decode()}' for k, v in sorted(named.items()))}]"
        case "v":
            return f"[={text}]"
    return f"[{text}]"


_UNTRACKED_METADATA: Final = tuple(
    f"f:{name}"
    for name in (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion",
    )
)  # fmt: skip


def tracked(fields: Fields, reset: tuple[str, ...] = ()) -> Fields:
    """Without the fields that identify an object, that the server sets, or that are top-level and in ``reset``."""
    result = dict(fields)
    for name in ("apiVersion", "kind", *reset):
        result.pop(f"f:{name}", None)
    metadata = result.pop("f:metadata", None)
    if metadata:
        rest = {key: node for key, node in metadata.items() if key not in _UNTRACKED_METADATA and key != _SELF}
        if rest:
            result["f:metadata"] = rest
    return result
