"""What a pod requests and is limited to, exactly."""

from typing import Any

from apimachinery import codec
from apimachinery.core import pod_resources
from apimachinery.quantity import Amount
from apimachinery.types.core_v1 import Pod


def pod(**spec: Any) -> Pod:
    return codec.from_builtins({"spec": spec}, Pod)


def container(cpu: str, memory: str = "1Gi", **fields: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}, **fields}


def test_exact_amounts_keep_their_digits_and_their_suffixes() -> None:
    several = pod(containers=[container("0.1n"), container("1500u", "512Mi")])
    requests = pod_resources.exact_requests(several, overhead=False)
    assert {name: str(amount) for name, amount in requests.items()} == {"cpu": "1500001n", "memory": "1536Mi"}


def test_an_init_container_counts_if_it_needs_more_than_the_pod_later() -> None:
    sidecar = container("1", restartPolicy="Always")
    starting = pod(containers=[container("1")], initContainers=[sidecar, container("3", "1Mi")])
    requests = pod_resources.exact_requests(starting, overhead=False)
    assert {name: str(amount) for name, amount in requests.items()} == {"cpu": "4", "memory": "2Gi"}


def test_overhead_counts_where_it_is_asked_for() -> None:
    heavy = pod(containers=[container("1")], overhead={"cpu": "250m", "pods": "1"})
    assert str(pod_resources.exact_requests(heavy, overhead=True)["cpu"]) == "1250m"
    assert str(pod_resources.exact_limits(heavy, overhead=False)["cpu"]) == "1"
    assert "pods" not in pod_resources.exact_limits(heavy, overhead=True)


def test_amounts_compare_by_number_and_not_by_suffix() -> None:
    assert Amount.of("1Ki") == Amount.of("1024")
    assert not Amount.of("1024") > Amount.of("1Ki")
    assert str(Amount.of("0").plus(Amount.of("1Gi")).minus(Amount.of("512Mi"))) == "512Mi"
