"""The verbs on resources: from a request to the registry and back to an answer."""

import asyncio
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.meta_v1 import DeleteOptions, StatusDetails
from apimachinery.types.objects import KubeObject
from apiserver.handlers.body import read_object
from apiserver.handlers.http import Request, success
from apiserver.handlers.rendering import Renderer
from apiserver.handlers.request_options import validate_deletion
from apiserver.handlers.selection import selection
from apiserver.handlers.watches import Watch
from apiserver.handlers.websocket_watches import WebSocketWatch
from apiserver.registry.resource import Kind, ListRequest, Served, Subresource
from apiserver.request import Attributes
from apiserver.storage import Stored
from component_base.websocket import is_websocket

_AT_ONCE: Final = 16  # concurrent deletes of a collection
_DELETE_OPTIONS: Final = Kind(DeleteOptions, "", "v1", "DeleteOptions")


class Call(Struct, frozen=True):
    """A parsed request: what it is about, and the form of its answer."""

    request: Request
    attributes: Attributes
    served: Served[KubeObject]
    subresource: Subresource[KubeObject, KubeObject]
    """The part of the object that the path names; ``WHOLE`` if it names none."""
    out: Renderer

    @property
    def key(self) -> Key:
        namespace = self.attributes.namespace if self.served.info.resource.namespaced else ""
        return Key(namespace, self.attributes.name)

    @property
    def kind(self) -> Kind[KubeObject]:
        """What is read and written."""
        return self.out.kind

    async def answer(self, code: int, stored: Stored[KubeObject]) -> None:
        """Send the object in the form that the client asked for."""
        memo = stored.memo if self.out.is_plain else None
        await self.request.respond(code, self.out.single(stored), self.out.form.media_type, memo)

    def check_namespace(self, obj: KubeObject) -> None:
        """Raises BadRequest if the object names another namespace."""
        sent = obj.metadata.namespace
        if sent and sent != self.attributes.namespace and self.served.info.resource.namespaced:
            raise errors.BadRequest(
                f"the namespace of the provided object does not match the namespace sent on the request: {sent!r} is "
                f"not {self.attributes.namespace!r}"
            )

    def check_name(self, obj: KubeObject) -> None:
        """Raises BadRequest if an object that is sent to its own path has no name, or another."""
        name = obj.metadata.name
        if not name:
            raise errors.BadRequest(
                f"the name of the object ({self.attributes.name} based on URL) was undeterminable: name must be provided"
            )
        if name != self.attributes.name:
            raise errors.BadRequest(
                f"the name of the object ({name}) does not match the name on the URL ({self.attributes.name})"
            )

    def warn(self, obj: KubeObject) -> None:
        """Warn the client of what is accepted and may not be meant."""
        self.request.warnings.extend(self.subresource.warnings(self.served.info, obj))

    def deduplicated(self, obj: KubeObject) -> KubeObject:
        """The object itself, with each of its owners once."""
        owners, repeated = obj.metadata.owner_references or [], list[str]()
        for i, owner in reversed(list(enumerate(owners))):
            if owner in owners[:i]:
                repeated.insert(0, owner.uid)
                del owners[i]
        if repeated:
            self.request.warnings.append(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and "
                "may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
                f"[{' '.join(repeated)}]"
            )
        return obj


async def get(call: Call) -> None:
    await call.answer(200, await call.subresource.get(call.served, call.key))


async def watch(call: Call) -> None:
    selected = selection(call.request, call.served.info)
    stream = WebSocketWatch if is_websocket(call.request.scope) else Watch
    await stream(call.request, call.served, call.attributes.namespace, selected, call.out).run()


async def create(call: Call) -> None:
    obj = await read_object(call.request, call.kind)
    call.check_namespace(obj)
    stored = await call.subresource.create(call.served, call.attributes, call.key, call.deduplicated(obj))
    call.warn(stored.object if stored is not None else obj)
    if stored is None:
        await call.request.respond(201, success(code=201))
    else:
        await call.answer(201, stored)


async def update(call: Call) -> None:
    obj = await read_object(call.request, call.kind)
    call.check_namespace(obj)
    call.check_name(obj)
    call.deduplicated(obj)
    stored, created = await call.subresource.update(
        call.served, call.attributes, call.key, lambda current: codec.copy(obj), may_create=False
    )
    call.warn(stored.object)
    await call.answer(201 if created else 200, stored)


async def delete(call: Call) -> None:
    options, attributes = await _delete_options(call)
    deleted = await call.served.delete(attributes, call.key, options)
    if deleted.gone and not call.served.info.strategy.returns_deleted:
        resource, uid = call.served.info.resource, meta.uid_of(deleted.stored.object)
        details = StatusDetails(name=call.key.name, group=resource.group or None, kind=resource.plural, uid=uid)
        await call.request.respond(200, success(details))
        return
    await call.answer(200, deleted.stored)


async def delete_collection(call: Call) -> None:
    """Delete what is selected, many at a time; objects that others delete meanwhile are no error."""
    options, attributes = await _delete_options(call)
    selected = selection(call.request, call.served.info)
    await call.served.wait(None)
    listing = await call.served.list(call.attributes.namespace, selected, ListRequest())
    places = asyncio.Semaphore(_AT_ONCE)

    async def delete_one(stored: Stored[KubeObject]) -> Stored[KubeObject] | None:
        async with places:
            try:
                return (await call.served.delete(attributes, meta.key_of(stored.object), options)).stored
            except errors.NotFound:
                return None

    outcomes = await asyncio.gather(*map(delete_one, listing.items))
    deleted = [stored for stored in outcomes if stored is not None]
    metadata = {"resourceVersion": str(call.served.cache.revision)}
    await call.request.respond(200, call.out.many(deleted, metadata), call.out.form.media_type)


async def _delete_options(call: Call) -> tuple[DeleteOptions, Attributes]:
    """From the body, or from the query where there is none; with the attributes that follow from them."""
    request = call.request
    if await request.body():
        options = await read_object(request, _DELETE_OPTIONS)
    else:
        options = DeleteOptions(
            grace_period_seconds=request.integer("gracePeriodSeconds"),
            propagation_policy=request.query.get("propagationPolicy"),
            orphan_dependents=request.flag("orphanDependents") if "orphanDependents" in request.query else None,
            dry_run=list(request.query_lists.get("dryRun", ())),
        )
    validate_deletion(options)
    # kubectl asks for a dry run in the body, other verbs do in the query
    dry_run = call.attributes.dry_run or "All" in (options.dry_run or ())
    return options, replace(call.attributes, dry_run=dry_run)
