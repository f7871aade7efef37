"""PATCH: a document that says how an object is to change, or what its author wants it to be (apply)."""

from typing import Any, Final

from apimachinery import codec, errors, meta, patch
from apimachinery.field_check import strict_error, unknown
from apimachinery.managed_fields import apply
from apimachinery.schema.definitions import definition_name
from apimachinery.types.objects import KubeObject
from apiserver.handlers.body import check_kind, field_validation, media_type, read_document
from apiserver.handlers.verbs import Call, check_name, check_namespace

APPLY: Final = "application/apply-patch+yaml"
ACCEPTED: Final = (*patch.MEDIA_TYPES, APPLY)


def is_apply(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == APPLY


async def patch_(call: Call) -> None:
    kind = media_type(call.request)
    if kind == APPLY:
        await _apply(call)
    elif kind in patch.MEDIA_TYPES:
        await _patch(call, patch.MEDIA_TYPES[kind], await call.request.body())
    else:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(ACCEPTED)
        )


async def _patch(call: Call, dialect: patch.Dialect, body: bytes) -> None:
    if call.request.flag("force"):
        raise errors.BadRequest("force: Forbidden: may not be specified for non-apply patch")

    def change(current: Any) -> Any:
        if current is None:  # only a full object can make one, even where an update may
            raise call.store.not_found(call.key)
        document = patch.apply(dialect, codec.to_builtins(_shown(call, current)), body, _definition(call))
        return _read(call, document, current)

    stored, _ = await call.store.update(call.attributes, call.key, change, call.strategy)
    await call.answer(200, stored)


async def _apply(call: Call) -> None:
    if not call.request.query.get("fieldManager"):
        raise errors.BadRequest("fieldManager is required for apply patch")
    config, _ = await read_document(call.request)
    if not isinstance(config, dict):
        raise errors.BadRequest("an apply patch is an object")
    _check_identity(call, config)
    force = call.request.flag("force")

    def change(current: Any) -> Any:
        merged, managed = apply(
            codec.to_builtins(_shown(call, current)) if current is not None else None,
            config,
            call.attributes.field_manager,
            definition=_definition(call),
            api_version=_api_version(call),
            time=meta.now(),
            force=force,
            subresource=call.attributes.subresource,
            reset=call.store.info.reset_fields(call.attributes.subresource),
        )
        obj = _read(call, merged, current)
        obj.metadata.managed_fields = managed or None
        return obj

    stored, created = await call.store.update(
        call.attributes, call.key, change, call.strategy, may_create=call.subresource is None
    )
    await call.answer(201 if created else 200, stored)


def _check_identity(call: Call, config: dict[str, Any]) -> None:
    """What an apply patch must say of itself, and must not contradict the path in."""
    for field, wanted in (("apiVersion", _api_version(call)), ("kind", _kind(call))):
        if config.get(field) != wanted:
            raise errors.BadRequest(f"{field} in the patch must be {wanted!r}, it is {config.get(field)!r}")
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise errors.BadRequest("metadata in the patch must be an object")
    name = metadata.get("name")
    if name not in (None, "", call.key.name):
        raise errors.BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.key.name})")


def _shown(call: Call, current: Any) -> Any:
    """What the patch sees: the object, or the view of it."""
    return call.view.read(current) if call.view is not None else current


def _read(call: Call, document: dict[str, Any], current: Any) -> Any:
    """The object that a patched document describes."""
    _check_fields(call, document)
    if call.view is None:
        obj: KubeObject = codec.from_builtins(document, call.store.info.type)
        check_kind(obj, _api_version(call), _kind(call))
        check_namespace(call, obj)
        check_name(call, obj)
        return obj
    view = codec.from_builtins(document, call.view.type)
    obj = codec.copy(current)
    obj.metadata.resource_version = view.metadata.resource_version or obj.metadata.resource_version
    call.view.write(obj, view)
    return obj


def _check_fields(call: Call, document: dict[str, Any]) -> None:
    wanted, definition = field_validation(call.request), _definition(call)
    if wanted == "Ignore" or definition is None:
        return
    faults = unknown(document, definition)
    if faults and wanted == "Strict":
        raise strict_error(faults)
    call.request.warnings[:] = faults  # a change that is made again must not warn twice


def _definition(call: Call) -> str | None:
    view = call.view
    if view is not None:
        return definition_name(view.group, view.version, view.kind)
    return call.store.info.definition


def _api_version(call: Call) -> str:
    return f"{call.view.group}/{call.view.version}" if call.view else call.store.info.resource.api_version


def _kind(call: Call) -> str:
    return call.view.kind if call.view else call.store.info.resource.kind
