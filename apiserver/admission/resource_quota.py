"""Keeps what a namespace uses within its resource quotas, however many write at once.

What a request costs is written into the quotas' status before the object is stored, by compare-and-set on the revision
that was judged: two servers cannot both spend the last unit. Requests of one namespace that come together are charged
together, so that a storm of them costs a few writes and no other namespace waits. What an object gives back, and what
was charged for a write that failed afterwards, is corrected by the quota controller.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

from apimachinery import errors, meta
from apimachinery.core.quota import evaluator_of
from apimachinery.types.core_v1 import ResourceQuota as Quota
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin
from apiserver.admission.quota_charging import Account, Purchase, charge
from apiserver.registry.store import Store
from apiserver.registry.turns import Turns
from apiserver.request import Attributes, User
from apiserver.storage import StorageConflict

_PATIENCE: Final = 10.0
"""Seconds that a request waits to be charged, as in Kubernetes."""
_SELF: Final = User("system:apiserver", groups=("system:masters",))


class ResourceQuota(Plugin[KubeObject]):
    types = (KubeObject,)

    def __init__(self, quotas: Store[Quota]) -> None:
        self._quotas, self._ledger = quotas, Ledger(quotas)

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        namespace = obj.metadata.namespace
        if not self._quotas.is_loaded:
            await self._quotas.cache.wait_until()
        if not namespace or not self._quotas.count(namespace):
            return
        evaluator = evaluator_of(attributes.group, attributes.resource)
        if evaluator is None:
            return
        if old is None:
            is_charged = not attributes.subresource
        else:
            is_charged = evaluator.charges_updates and attributes.subresource in ("", "status")
        if is_charged:
            await self._ledger.charge(namespace, Purchase(attributes, evaluator, obj, old))


class _Order:
    """A purchase that waits; settled once it is charged or refused."""

    def __init__(self, purchase: Purchase) -> None:
        self.purchase = purchase
        self.is_settled = False
        self.refusal: errors.ApiError | None = None

    def settle(self, refusal: errors.ApiError | None = None) -> None:
        self.is_settled, self.refusal = True, refusal


class Ledger:
    """Charges purchases. Whose turn it is in a namespace charges for all that wait there."""

    def __init__(self, quotas: Store[Quota]) -> None:
        self._quotas, self._turns = quotas, Turns()
        self._waiting: dict[str, list[_Order]] = {}
        self._revision = 0  # of our last write, which the cache may not show yet

    async def charge(self, namespace: str, purchase: Purchase) -> None:
        """Raises Forbidden if a quota does not allow it, Timeout if that could not be found out in time."""
        order = _Order(purchase)
        self._waiting.setdefault(namespace, []).append(order)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._turns.take(namespace, _PATIENCE)
                try:
                    if not order.is_settled:
                        await self._serve(namespace)
                finally:
                    self._turns.give(namespace)
        except TimeoutError:
            raise errors.Timeout("resource quota evaluation timed out; try again", retry_after=1) from None
        finally:
            self._forget(namespace, order)
        if order.refusal is not None:
            raise order.refusal

    def _forget(self, namespace: str, order: _Order) -> None:
        waiting = self._waiting.get(namespace, [])
        if order in waiting:
            waiting.remove(order)
        if not waiting:
            self._waiting.pop(namespace, None)

    async def _serve(self, namespace: str) -> None:
        """Settle all orders that wait in the namespace now."""
        orders = self._waiting.pop(namespace)
        try:
            await self._settle(namespace, orders)
        except errors.ApiError as error:  # no judgement of any of them: storage does not answer
            for order in orders:
                if not order.is_settled:
                    order.settle(error)
        finally:  # who is cancelled leaves the rest to the next one
            if unsettled := [order for order in orders if not order.is_settled]:
                self._waiting[namespace] = [*unsettled, *self._waiting.get(namespace, [])]

    async def _settle(self, namespace: str, orders: list[_Order]) -> None:
        cache = self._quotas.cache
        try:
            await cache.wait_until(self._revision)
        except errors.TooLargeResourceVersion:  # etcd has older data now, restored from a copy
            self._revision = 0
            await cache.wait_current()
        accounts = self._accounts(namespace)
        refusals = _charge(orders, accounts)
        if refusals:  # which count only if made from the current quotas
            await cache.wait_current()
            accounts = self._accounts(namespace)
            refusals = _charge(orders, accounts)
        while True:
            for order, refusal in refusals.items():
                order.settle(refusal)
            accounts = await self._write(accounts)
            orders = [order for order in orders if not order.is_settled]
            if not accounts:
                break
            refusals = _charge(orders, accounts)
        for order in orders:
            order.settle()

    def _accounts(self, namespace: str) -> list[Account]:
        stored = self._quotas.cache.items(self._quotas.info.storage_prefix(namespace))[0]
        return [Account(quota) for quota in stored]

    async def _write(self, accounts: list[Account]) -> list[Account]:
        """Write what was charged. Those that others have changed meanwhile are returned as they are now."""
        moved: list[Account] = []
        for account in accounts:
            if not account.is_charged:
                continue
            quota = account.charged()
            try:
                stored = await self._quotas.write(_attributes(quota), quota, account.stored)
                self._revision = max(self._revision, stored.revision)
            except StorageConflict as conflict:
                if conflict.current is not None:
                    moved.append(Account(conflict.current))
        return moved


def _charge(orders: list[_Order], accounts: list[Account]) -> dict[_Order, errors.Forbidden]:
    """Charge the accounts for what they allow; why the others are refused."""
    now, refusals = datetime.now(UTC), dict[_Order, errors.Forbidden]()
    for order in orders:
        try:
            charge(order.purchase, accounts, now)
        except errors.Forbidden as refusal:
            refusals[order] = refusal
    return refusals


def _attributes(quota: Quota) -> Attributes:
    key = meta.key_of(quota)
    return Attributes(
        _SELF,
        "update",
        "",
        "",
        "v1",
        "resourcequotas",
        "status",
        key.namespace,
        key.name,
        field_manager="kube-apiserver",
    )
