"""The verbs on resources: from a request to the registry and back to an answer."""

import asyncio
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.meta_v1 import DeleteOptions, StatusDetails
from apimachinery.types.objects import KubeObject
from apiserver.handlers.body import read_object
from apiserver.handlers.http import Request, success
from apiserver.handlers.lists import list_objects
from apiserver.handlers.negotiation import Form
from apiserver.handlers.rendering import Renderer, encoded
from apiserver.handlers.selection import selection
from apiserver.handlers.watches import Watch
from apiserver.handlers.websocket_watches import WebSocketWatch
from apiserver.registry import deletion
from apiserver.registry.resource import PostedAction, PostedChange, Subresource, View
from apiserver.registry.store import Change, Store
from apiserver.registry.strategy import PostedStrategy, Strategy
from apiserver.registry.virtual import ComputedStore
from apiserver.request import Attributes
from apiserver.storage import Stored
from component_base.websocket import is_websocket

_AT_ONCE: Final = 16  # deletes of a collection that are under way together


class Call(Struct, frozen=True):
    """A request that has been understood: what it is about, and how its answer is to look."""

    request: Request
    attributes: Attributes
    store: Store[Any]
    subresource: Subresource | None
    out: Renderer

    @property
    def key(self) -> Key:
        return Key(self.attributes.namespace, self.attributes.name)

    @property
    def view(self) -> View | None:
        return self.subresource.view if self.subresource else None

    @property
    def strategy(self) -> Strategy[Any] | None:
        return self.subresource.strategy if self.subresource else None

    async def answer(self, code: int, stored: Stored[Any]) -> None:
        """The object as the client wants to see it."""
        if self.view is not None:
            await self.answer_view(code, self.view, self.view.read(stored.object))
            return
        memo = stored.memo if self.out.is_plain else None
        await self.request.respond(code, self.out.single(stored), self.out.media_type, memo)

    async def answer_view(self, code: int, view: View, obj: KubeObject) -> None:
        form = Form(self.out.form.media_type)
        body = encoded(codec.encode(obj), form, obj.api_version or "", view.kind)
        await self.request.respond(code, body, form.media_type)


async def get(call: Call) -> None:
    await call.answer(200, await call.store.get(call.key))


async def list_(call: Call) -> None:
    chosen = selection(call.request, call.store.info)
    if isinstance(call.store, ComputedStore):
        found = [one for one in await call.store.listed(call.attributes.namespace) if chosen.matches(one.object)]
        await call.request.respond(200, call.out.many(found, {}), call.out.media_type)
        return
    await list_objects(call.request, call.store, call.attributes.namespace, chosen, call.out)


async def watch(call: Call) -> None:
    chosen = selection(call.request, call.store.info)
    kind = WebSocketWatch if is_websocket(call.request.scope) else Watch
    await kind(call.request, call.store, call.attributes.namespace, chosen, call.out).run()


async def create(call: Call) -> None:
    if call.subresource is not None and call.subresource.create is not None:
        await _post_change(call, call.subresource.create)
        return
    if call.subresource is not None and call.subresource.action is not None:
        await _post_action(call, call.subresource.action)
        return
    resource = call.store.info.resource
    obj = await read_object(call.request, call.store.info.type, resource.api_version, resource.kind)
    check_namespace(call, obj)
    call.request.warnings.extend(call.store.info.strategy.warnings(obj))
    await call.answer(201, await call.store.create(call.attributes, obj))


async def _post_change(call: Call, change: PostedChange) -> None:
    kind = change.type.__name__
    posted: Any = await read_object(call.request, change.type, call.store.info.resource.api_version, kind)
    if posted.metadata.name and posted.metadata.name != call.key.name:
        raise errors.BadRequest(f"name in URL ({call.key.name}) does not match name in {kind} ({posted.metadata.name})")

    def apply(current: Any) -> Any:
        obj = codec.copy(current)
        obj.metadata.uid = posted.metadata.uid or obj.metadata.uid
        change.apply(obj, posted)
        return obj

    await call.store.update(call.attributes, call.key, apply, PostedStrategy())
    await call.request.respond(201, success())


async def _post_action(call: Call, action: PostedAction) -> None:
    blank = action.type()
    version, kind = blank.api_version or "", blank.kind or ""
    posted = await read_object(call.request, action.type, version, kind)
    answer = await action.run(call.store, call.attributes, call.key, posted)
    if answer is None:
        await call.request.respond(201, success())
        return
    form = Form(call.out.form.media_type)
    await call.request.respond(201, encoded(codec.encode(answer), form, version, kind), form.media_type)


async def update(call: Call) -> None:
    resource, view = call.store.info.resource, call.view
    if view is not None:
        version = f"{view.group}/{view.version}"
        sent: Any = await read_object(call.request, view.type, version, view.kind)
        check_name(call, sent)
        await _written(call, lambda current: _through(view, current, sent))
        return
    obj: Any = await read_object(call.request, call.store.info.type, resource.api_version, resource.kind)
    check_namespace(call, obj)
    check_name(call, obj)
    call.request.warnings.extend(call.store.info.strategy.warnings(obj))
    await _written(call, lambda current: codec.copy(obj))


async def _written(call: Call, change: Change[Any], *, may_create: bool = False) -> None:
    stored, created = await call.store.update(call.attributes, call.key, change, call.strategy, may_create=may_create)
    await call.answer(201 if created else 200, stored)


def _through(view: View, current: Any, sent: Any) -> Any:
    """The object with what the view changes of it."""
    obj = codec.copy(current)
    obj.metadata.resource_version = sent.metadata.resource_version or obj.metadata.resource_version
    obj.metadata.uid = sent.metadata.uid or obj.metadata.uid
    view.write(obj, sent)
    return obj


def check_namespace(call: Call, obj: KubeObject) -> None:
    """Raises BadRequest if the object says that it lies elsewhere."""
    wanted, sent = call.attributes.namespace, obj.metadata.namespace
    if sent and sent != wanted and call.store.info.resource.namespaced:
        raise errors.BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the request: {sent!r} is not "
            f"{wanted!r}"
        )


def check_name(call: Call, obj: KubeObject) -> None:
    """An object that is sent to its own path may leave its name out. Raises BadRequest if it says another."""
    name = obj.metadata.name
    if not name:
        obj.metadata.name = call.key.name
    elif name != call.key.name:
        raise errors.BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.key.name})")


async def delete(call: Call) -> None:
    options, attributes = await _delete_options(call)
    outcome = await deletion.delete(call.store, attributes, call.key, options)
    if outcome.gone and not call.store.info.strategy.returns_deleted:
        resource = call.store.info.resource
        uid = meta.uid_of(outcome.stored.object)
        details = StatusDetails(name=call.key.name, group=resource.group or None, kind=resource.plural, uid=uid)
        await call.request.respond(200, success(details))
        return
    await call.answer(200, outcome.stored)


async def delete_collection(call: Call) -> None:
    """Delete what is selected, many at a time; what others delete meanwhile is no fault."""
    options, attributes = await _delete_options(call)
    chosen = selection(call.request, call.store.info)
    await call.store.cache.wait_current()
    prefix = call.store.info.storage_prefix(call.attributes.namespace)
    found = [one for one in call.store.cache.items(prefix)[0] if chosen.matches(one.object)]
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(stored: Stored[Any]) -> Stored[Any] | None:
        async with places:
            try:
                key = meta.key_of(stored.object)
                return (await deletion.delete(call.store, attributes, key, options)).stored
            except errors.NotFound:
                return None

    deleted = [stored for stored in await asyncio.gather(*map(one, found)) if stored is not None]
    metadata = {"resourceVersion": str(call.store.cache.revision)}
    await call.request.respond(200, call.out.many(deleted, metadata), call.out.media_type)


async def _delete_options(call: Call) -> tuple[DeleteOptions, Attributes]:
    """From the body, or from the query where there is none; with the attributes that follow from them."""
    request = call.request
    if await request.body():
        options = await read_object(request, DeleteOptions, "v1", "DeleteOptions")
    else:
        options = DeleteOptions(
            grace_period_seconds=request.integer("gracePeriodSeconds"),
            propagation_policy=request.query.get("propagationPolicy"),
            orphan_dependents=request.flag("orphanDependents") or None,
        )
    if options.dry_run not in (None, [], ["All"]):
        raise errors.BadRequest('dryRun: Unsupported value: supported values: "All"')
    if (options.grace_period_seconds or 0) < 0:
        raise errors.BadRequest("gracePeriodSeconds: Invalid value: must be greater than or equal to 0")
    # kubectl asks for a rehearsal in the body, other verbs do in the query
    dry_run = call.attributes.dry_run or bool(options.dry_run)
    return options, replace(call.attributes, dry_run=dry_run)
