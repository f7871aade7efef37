"""What is charged to which quota, and in which words too much is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apimachinery import codec, errors
from apimachinery.core.quota import evaluator_of
from apimachinery.types.core_v1 import Pod, ResourceQuota, Service
from apimachinery.types.objects import KubeObject
from apiserver.admission.quota_charging import Account, Purchase, charge
from apiserver.request import Attributes, User
from apiserver.storage import Stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def account(hard: dict[str, str], used: dict[str, str] | None = None, name: str = "q", **spec: Any) -> Account:
    status = {"hard": hard, "used": used if used is not None else dict.fromkeys(hard, "0")}
    quota = codec.from_builtins({"metadata": {"name": name}, "spec": spec, "status": status}, ResourceQuota)
    return Account(Stored("key", quota, codec.encode(quota), 1))


def pod(requests: dict[str, str] | None = None) -> Pod:
    container = {"name": "c", "image": "i", "resources": {"requests": requests or {}}}
    return codec.from_builtins({"metadata": {"name": "p"}, "spec": {"containers": [container]}}, Pod)


def service(kind: str, ports: int = 1) -> Service:
    spec = {"type": kind, "ports": [{"name": f"p{i}", "port": i + 1} for i in range(ports)]}
    return codec.from_builtins({"metadata": {"name": "s"}, "spec": spec}, Service)


def purchase(obj: KubeObject, old: KubeObject | None = None, *, dry_run: bool = False) -> Purchase:
    plural = "pods" if isinstance(obj, Pod) else "services"
    evaluator = evaluator_of("", plural)
    assert evaluator is not None
    return Purchase(Attributes(User("ann"), "create", "", resource=plural, dry_run=dry_run), evaluator, obj, old)


def used(of: Account) -> dict[str, str]:
    return dict(of.charged().status.used or {})


def test_what_a_pod_costs_is_added() -> None:
    quota = account({"pods": "2", "requests.memory": "1Gi"}, {"pods": "1", "requests.memory": "512Mi"})
    charge(purchase(pod({"memory": "256Mi"})), [quota], NOW)
    assert (used(quota), quota.is_charged) == ({"pods": "2", "requests.memory": "768Mi"}, True)


@pytest.mark.parametrize(
    ("quota", "requests", "why"),
    [
        (account({"pods": "2"}, {"pods": "2"}), {}, "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        (
            account({"cpu": "1", "requests.memory": "1Gi", "pods": "9"}),
            {"cpu": "1100m", "memory": "2Gi"},
            "exceeded quota: q, requested: cpu=1100m,requests.memory=2Gi, used: cpu=0,requests.memory=0, "
            "limited: cpu=1,requests.memory=1Gi",
        ),
        (account({"limits.cpu": "1"}), {"cpu": "1"}, "failed quota: q: must specify limits.cpu for: c"),
        (account({"pods": "1", "services": "1"}, {"services": "0"}), {}, "status unknown for quota: q, resources: pods"),
        (account({"pods": "1"}), {"example.com/x": "-1"}, "quota usage is negative for resource(s): requests.example.com/x"),
    ],
)  # fmt: skip
def test_refusals(quota: Account, requests: dict[str, str], why: str) -> None:
    with pytest.raises(errors.Forbidden) as refusal:
        charge(purchase(pod(requests)), [quota], NOW)
    assert refusal.value.message == f'pods "p" is forbidden: {why}'
    assert not quota.is_charged


def test_no_quota_is_charged_if_one_of_them_refuses() -> None:
    generous, strict = account({"pods": "5"}, name="a"), account({"pods": "0"}, name="b")
    with pytest.raises(errors.Forbidden, match="exceeded quota: b"):
        charge(purchase(pod()), [generous, strict], NOW)
    assert (used(generous), generous.is_charged) == ({"pods": "0"}, False)


def test_a_dry_run_is_judged_and_costs_nothing() -> None:
    quota = account({"pods": "1"})
    charge(purchase(pod(), dry_run=True), [quota], NOW)
    assert not quota.is_charged
    with pytest.raises(errors.Forbidden):
        charge(purchase(pod(), dry_run=True), [account({"pods": "0"})], NOW)


def test_a_change_costs_what_it_adds() -> None:
    quota = account({"services": "1", "services.nodeports": "2"}, {"services": "1", "services.nodeports": "1"})
    charge(purchase(service("NodePort", 2), service("NodePort", 1)), [quota], NOW)
    assert used(quota) == {"services": "1", "services.nodeports": "2"}
    with pytest.raises(errors.Forbidden, match=r"requested: services\.nodeports=1, used: services\.nodeports=2"):
        charge(purchase(service("NodePort", 3), service("NodePort", 2)), [quota], NOW)


def test_a_change_that_gives_something_back_is_free_even_beyond_the_quota() -> None:
    quota = account({"services.nodeports": "1"}, {"services.nodeports": "3"})
    charge(purchase(service("NodePort", 2), service("NodePort", 3)), [quota], NOW)
    charge(purchase(service("ClusterIP"), service("NodePort", 2)), [quota], NOW)
    assert not quota.is_charged


def test_what_a_quota_is_not_about_is_free() -> None:
    quota = account({"services": "0"})
    charge(purchase(pod()), [quota, account({"pods": "0"}, scopes=["Terminating"])], NOW)
    assert not quota.is_charged
