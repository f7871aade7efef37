"""The name server as pods from our own image, with the same names and address, and as a daemon again."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab import Lab, eventually, service, sleeper

SERVER = "10.0.0.10"


@pytest.fixture
def pods() -> Iterator[Lab]:
    """A separate lab whose name server runs as pods."""
    lab = Lab("e2e-dns", nodes=1)
    lab.make("clean")
    try:
        lab.make("up", "--nodes", "1", "--dns", "pods")
        lab.apply(sleeper("shell"))
        lab.kubectl("wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
        yield lab
    finally:
        lab.make("clean")


def looked_up(lab: Lab, name: str) -> str:
    output = lab.kubectl("exec", "shell", "--", "nslookup", f"{name}.", check=False)
    assert SERVER in output, "another server answered"
    return output


def server_pods(lab: Lab) -> set[str]:
    pods = lab.ready_pods("k8s-app=kube-dns", 2, namespace="kube-system")
    return {pod["metadata"]["name"] for pod in pods}


def backends(lab: Lab) -> set[str]:
    slices = lab.items("endpointslices", "-n", "kube-system", "-l", "kubernetes.io/service-name=kube-dns")
    endpoints = [endpoint for endpoint_slice in slices for endpoint in endpoint_slice.get("endpoints") or ()]
    return {address for endpoint in endpoints if endpoint["conditions"]["ready"] for address in endpoint["addresses"]}


@pytest.mark.timeout(300)
def test_names_are_answered_by_pods_and_by_a_daemon_in_turn(pods: Lab) -> None:
    lab = pods
    assert "kube-dns" not in lab.make("status").stdout.partition("NODE ")[0], "the daemon runs too"
    page = lab.kubectl("exec", "shell", "--", "wget", "-T", "5", "-qO-", "http://image-processing:1234/")
    assert page.startswith("image-processing-")
    assert "REFUSED" in looked_up(lab, "www.example.com"), "nothing leaves a lab without egress"

    before = server_pods(lab)
    lab.apply(service("late", clusterIP="10.0.66.6"))
    eventually(lambda: "10.0.66.6" in looked_up(lab, "late.default.svc.cluster.local"), timeout=3)

    lab.kubectl("delete", "pod", "-n", "kube-system", sorted(before)[0], "--wait=false")
    for _ in range(10):
        assert "10.0.66.6" in looked_up(lab, "late.default.svc.cluster.local"), "the other pod answers"
    assert len(server_pods(lab) & before) == 1

    lab.make("up", "--dns", "process")
    eventually(lambda: backends(lab) == {str(lab.lab.addresses.master)})
    eventually(lambda: "10.0.66.6" in looked_up(lab, "late.default.svc.cluster.local"))
    eventually(lambda: not lab.pods("k8s-app=kube-dns", "kube-system"))

    lab.make("up", "--dns", "pods")
    eventually(lambda: len(backends(lab)) == 2 and str(lab.lab.addresses.master) not in backends(lab))
    eventually(lambda: "10.0.66.6" in looked_up(lab, "late.default.svc.cluster.local"))
