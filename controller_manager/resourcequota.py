"""Says in the status of each resource quota how much of it is used.

Admission charges a quota before the object is stored; this controller counts what there is: when a quota changes, when a
namespace uses less, and periodically. What admission has charged a moment ago may not be among the objects yet, so an
amount is lowered only once nothing was added to it for ``_SETTLED`` seconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core.pod_resources import exact
from apimachinery.core.quota import Amounts, Evaluator, add, covers, evaluator_of
from apimachinery.meta import Key
from apimachinery.quantity import Amount
from apimachinery.types.core_v1 import ResourceQuota, ResourceQuotaStatus
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_NAMESPACE, namespace_of
from controller_manager.quota_objects import MEASURED, GroupResource, QuotaObjects, counted
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_SETTLED: Final = 2.0
_VERIFY: Final = 5.0
"""Seconds after a charge when it is checked against the objects: the write that it was for may have failed."""
_SLICE: Final = 200
"""Objects that are measured at once; then others get their turn on the event loop."""


class ResourceQuotaController:
    def __init__(self, context: ControllerContext) -> None:
        options = context.options
        self._workers = options.concurrency.concurrent_resource_quota_syncs
        self._period = options.resource_quota_sync_period
        self._api = context.client.resource(ResourceQuota)
        self._quotas = context.informer(ResourceQuota, indexes={BY_NAMESPACE: namespace_of})
        self._objects = QuotaObjects(context, self._counted, self._on_less, self._on_known)
        self._queue = WorkQueue[Key]("resourcequota")
        self._raised: dict[Key, dict[str, float]] = {}
        """When each amount was last seen to grow."""
        self._quotas.on_change(self._on_quota)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._objects.run(), name="resourcequota-objects")
            tasks.create_task(process(self._queue, self.sync, workers=self._workers), name="resourcequota")
            while True:
                await asyncio.sleep(self._period)
                for quota in self._quotas.list():
                    self._queue.add(meta.key_of(quota))

    async def sync(self, key: Key) -> None:
        """Count what one quota is about, and write that down."""
        quota = self._quotas.get(key)
        if quota is None:
            return
        used = await self._count(quota)
        raised = self._raised.get(key, {})
        status = plan(quota, used, lambda name: time.monotonic() - raised.get(name, 0) >= _SETTLED)
        if status != quota.status:
            changed = codec.copy(quota)
            changed.status = status
            with suppress(errors.NotFound):
                await self._api.update_status(changed)
        if any(exact(status.used)[name] > amount for name, amount in used.items()):
            self._queue.add_after(key, _SETTLED)

    async def _count(self, quota: ResourceQuota) -> Amounts:
        """What is used, of that which can be counted."""
        hard, used = quota.spec.hard or {}, Amounts()
        for resource in (*MEASURED, *sorted(counted(hard))):
            evaluator = evaluator_of(*resource)
            names = [name for name in hard if evaluator is not None and evaluator.tracks(name)]
            if evaluator is None or not names:
                continue
            total = await self._sum(quota, evaluator, resource)
            if total is not None:
                used.update({name: total.get(name, Amount.of(0)) for name in names})
        return used

    async def _sum(self, quota: ResourceQuota, evaluator: Evaluator, resource: GroupResource) -> Amounts | None:
        objects = self._objects.of(resource, meta.namespace_of(quota))
        if objects is None:
            return None
        total, now, hard = Amounts(), datetime.now(UTC), quota.spec.hard or {}
        for i, obj in enumerate(objects, 1):
            if covers(quota.spec, hard, evaluator, obj):
                usage = evaluator.usage(obj, now)
                total = add(total, {name: amount for name, amount in usage.items() if name in hard})
            if i % _SLICE == 0:
                await asyncio.sleep(0)
        return total

    def _on_quota(self, old: ResourceQuota | None, new: ResourceQuota | None) -> None:
        if new is None:
            if old is not None:
                self._raised.pop(meta.key_of(old), None)
        else:
            key, raised = meta.key_of(new), grown(old, new)
            if raised:
                self._raised.setdefault(key, {}).update(dict.fromkeys(raised, time.monotonic()))
                self._queue.add_after(key, _VERIFY)
            if old is None or old.spec != new.spec or old.status.hard != new.status.hard:
                self._queue.add(key)
        if old is None or new is None or old.spec != new.spec:
            self._objects.recheck()

    def _counted(self) -> set[GroupResource]:
        return counted(name for quota in self._quotas.list() for name in quota.spec.hard or ())

    def _on_known(self, resource: GroupResource) -> None:
        for quota in self._quotas.list():
            if resource in counted(quota.spec.hard or ()):
                self._queue.add(meta.key_of(quota))

    def _on_less(self, namespace: str) -> None:
        for quota in self._quotas.by_index(BY_NAMESPACE, namespace):
            self._queue.add(meta.key_of(quota))


def plan(quota: ResourceQuota, counted: Mapping[str, Amount], is_settled: Callable[[str], bool]) -> ResourceQuotaStatus:
    """The status of a quota of which so much is used. What nobody counts stays as it is."""
    hard, before = quota.spec.hard or {}, exact(quota.status.used)
    used: dict[str, Amount] = {}
    for name in hard:
        amount = counted.get(name, before.get(name))
        if amount is not None and name in before and amount < before[name] and not is_settled(name):
            amount = before[name]
        if amount is not None:
            used[name] = amount
    return ResourceQuotaStatus(hard=dict(hard), used={name: str(amount) for name, amount in used.items()})


def grown(old: ResourceQuota | None, new: ResourceQuota) -> list[str]:
    """Of which resources more is used than before."""
    before = exact(old.status.used) if old is not None else {}
    return [name for name, amount in exact(new.status.used).items() if amount > before.get(name, Amount.of(0))]
