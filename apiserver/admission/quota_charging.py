"""What a request costs the resource quotas of its namespace. Pure; the messages are Kubernetes'."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from apimachinery import codec, meta
from apimachinery.core.pod_resources import exact
from apimachinery.core.quota import Amounts, Evaluator, add, covers
from apimachinery.quantity import Amount
from apimachinery.types.core_v1 import ResourceQuota
from apimachinery.types.objects import KubeObject
from apiserver.admission import denied
from apiserver.request import Attributes
from apiserver.storage import Stored


class Purchase(NamedTuple):
    """An object that is created, or changed if there is an ``old`` one."""

    attributes: Attributes
    evaluator: Evaluator
    obj: KubeObject
    old: KubeObject | None


@dataclass
class Account:
    """A quota, and what is used of it while purchases are charged one after the other."""

    stored: Stored[ResourceQuota]
    hard: Amounts = field(init=False)
    used: Amounts = field(init=False)
    is_charged: bool = False

    def __post_init__(self) -> None:
        status = self.stored.object.status
        self.hard, self.used = exact(status.hard), exact(status.used)

    @property
    def name(self) -> str:
        return meta.name_of(self.stored.object)

    def covers(self, evaluator: Evaluator, obj: KubeObject) -> bool:
        return covers(self.stored.object.spec, self.hard, evaluator, obj)

    def charged(self) -> ResourceQuota:
        """The quota as it is to be written."""
        quota = codec.copy(self.stored.object)
        quota.status.used = {name: str(amount) for name, amount in self.used.items()}
        return quota


def charge(purchase: Purchase, accounts: Sequence[Account], now: datetime) -> None:
    """Charge all accounts that the purchase concerns, or none: raises Forbidden, naming the quota that lacks something.

    A change costs what it adds; what it gives back is credited by the quota controller. A dry run costs nothing.
    """
    attributes, evaluator, obj, old = purchase
    concerned = [account for account in accounts if account.covers(evaluator, obj)]
    for account in concerned:
        _check_complete(purchase, account)
    if not concerned:
        return
    usage = evaluator.usage(obj, now)
    if negative := sorted(name for name, amount in usage.items() if amount.number < 0):
        raise denied(attributes, obj, f"quota usage is negative for resource(s): {','.join(negative)}")
    before = evaluator.usage(old, now) if old is not None else {}
    charges: list[tuple[Account, Amounts]] = []
    for account in concerned:
        is_change = old is not None and account.covers(evaluator, old)
        cost = _masked(_increase(usage, before if is_change else {}), account.hard)
        total = add(account.used, cost)
        if attributes.subresource != "status":
            _check_affordable(purchase, account, cost, total)
        if cost:
            charges.append((account, total))
    if not attributes.dry_run:
        for account, total in charges:
            account.used, account.is_charged = total, True


def _check_complete(purchase: Purchase, account: Account) -> None:
    """Raises Forbidden if the object does not say what the quota limits, or the quota does not say what is used."""
    names = [name for name in account.hard if purchase.evaluator.tracks(name)]
    if lack := purchase.evaluator.lack(purchase.obj, names):
        raise denied(purchase.attributes, purchase.obj, f"failed quota: {account.name}: {lack}")
    if any(name not in account.used for name in names):
        why = f"status unknown for quota: {account.name}, resources: {','.join(sorted(names))}"
        raise denied(purchase.attributes, purchase.obj, why)


def _check_affordable(purchase: Purchase, account: Account, cost: Amounts, total: Amounts) -> None:
    exceeded = [name for name in cost if total[name] > account.hard[name]]
    if exceeded:
        requested, used, hard = (_listed(amounts, exceeded) for amounts in (cost, account.used, account.hard))
        why = f"exceeded quota: {account.name}, requested: {requested}, used: {used}, limited: {hard}"
        raise denied(purchase.attributes, purchase.obj, why)


def _increase(usage: Amounts, before: Amounts) -> Amounts:
    more = {name: amount.minus(before[name]) if name in before else amount for name, amount in usage.items()}
    return {name: amount for name, amount in more.items() if amount.number > 0}


def _masked(amounts: Amounts, names: Mapping[str, Amount]) -> Amounts:
    return {name: amount for name, amount in amounts.items() if name in names}


def _listed(amounts: Amounts, names: Iterable[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(names) if name in amounts)
