"""PATCH: a document that says how an object is to change, or what its author wants it to be (apply)."""

from collections.abc import Sequence
from typing import Any, Final

from apimachinery import codec, errors, meta, patch, yaml_loader
from apimachinery.field_check import strict_error, unknown, unknown_paths
from apimachinery.fields import Path
from apimachinery.managed_fields import apply
from apimachinery.types.objects import KubeObject
from apiserver.handlers.body import check_kind, field_validation, media_type
from apiserver.handlers.verbs import Call
from apiserver.registry.subresources import WHOLE

APPLY: Final = "application/apply-patch+yaml"
ACCEPTED: Final = (*patch.MEDIA_TYPES, APPLY)

Document = dict[str, Any]
"""An object as builtins."""


def is_apply(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == APPLY


class _Unreadable(errors.BadRequest):
    """A patched document is none of an object of the kind."""


class NotTyped(errors.ApiError):
    """An apply patch has a field of a wrong type, or that its kind does not have.

    Kubernetes answers 500 without a reason, and tools tell this case by the text (structuredmerge.go,
    ``ObjectToTyped``). Unknown fields are refused whatever ``fieldValidation`` says.
    """

    code = 500
    reason = ""

    def __init__(self, call: Call, faults: Sequence[str]) -> None:
        key, kind = call.key, call.kind
        what = f"{key.namespace}/{key.name}; {kind.api_version}, Kind={kind.name}"
        why = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"failed to create typed patch object ({what}): {why}")


async def patch_(call: Call) -> None:
    content_type = media_type(call.request)
    if content_type == APPLY:
        await _apply(call)
    elif content_type in patch.MEDIA_TYPES:
        await _patch(call, patch.MEDIA_TYPES[content_type], await call.request.body())
    else:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(ACCEPTED)
        )


async def _patch(call: Call, dialect: patch.Dialect, body: bytes) -> None:
    def change(current: KubeObject | None) -> KubeObject:
        if current is None:  # only a full object can make one, even where an update may
            raise call.served.not_found(call.key)
        patched = patch.apply(dialect, codec.to_builtins(current), body, call.kind.definition)
        try:
            return _read(call, patched)
        except _Unreadable as fault:
            raise errors.invalid("", "", "", [Path("patch").invalid("", fault.message)]) from fault

    stored, _ = await call.subresource.update(call.served, call.attributes, call.key, change, may_create=False)
    call.warn(stored.object)
    await call.answer(200, stored)


async def _apply(call: Call) -> None:
    config, _ = yaml_loader.load(await call.request.body())
    if not isinstance(config, dict):
        raise errors.BadRequest("an apply patch is an object")
    _check_identity(call, config)
    _check_types(call, config)
    force = call.request.flag("force")

    def change(current: KubeObject | None) -> KubeObject:
        merged, managed = apply(
            codec.to_builtins(current) if current is not None else None,
            config,
            call.attributes.field_manager,
            definition=call.kind.definition,
            api_version=call.kind.api_version,
            time=meta.now(),
            force=force,
            subresource=call.attributes.subresource,
            reset=call.served.info.reset_fields(call.attributes.subresource),
        )
        obj = _read(call, merged)
        obj.metadata.managed_fields = managed or None
        return obj

    stored, created = await call.subresource.update(
        call.served, call.attributes, call.key, change, may_create=call.subresource is WHOLE
    )
    call.warn(stored.object)
    await call.answer(201 if created else 200, stored)


def _check_types(call: Call, config: Document) -> None:
    """Raises NotTyped."""
    if call.kind.definition is None:
        return
    if unknown_fields := unknown_paths(config, call.kind.definition):
        raise NotTyped(call, [f".{path}: field not declared in schema" for path in unknown_fields])
    try:
        codec.convert(config, call.kind.type)
    except codec.Mismatch as fault:
        raise NotTyped(call, [f".{fault}"]) from fault


def _check_identity(call: Call, config: Document) -> None:
    """What an apply patch must say of itself, and must not contradict the path in."""
    for field, expected in (("apiVersion", call.kind.api_version), ("kind", call.kind.name)):
        if config.get(field) != expected:
            raise errors.BadRequest(f'{field} in the patch must be "{expected}"')
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise errors.BadRequest("metadata in the patch must be an object")
    name = metadata.get("name")
    if not isinstance(name, str | None):
        raise errors.BadRequest("metadata.name in the patch must be a string")
    if name not in (None, "", call.key.name):
        raise errors.BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.key.name})")


def _read(call: Call, document: Document) -> KubeObject:
    """The object that a patched document describes."""
    validation, definition, warned = field_validation(call.request), call.kind.definition, list[str]()
    if validation != "Ignore" and definition is not None:
        faults = unknown(document, definition)
        if faults and validation == "Strict":
            raise _Unreadable(strict_error(faults).message)
        warned = faults
    call.request.warnings[:] = warned  # a change that is made again must not warn twice
    try:
        obj = codec.from_builtins(document, call.kind.type)
    except errors.BadRequest as fault:
        raise _Unreadable(fault.message) from fault
    check_kind(obj, call.kind.api_version, call.kind.name)
    obj.metadata.name = obj.metadata.name or call.key.name  # an applied document need not repeat it
    call.check_namespace(obj)
    call.check_name(obj)
    return call.deduplicated(obj)
