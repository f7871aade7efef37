"""The name server of a lab: a daemon, or the manifest's pods with the lab's arguments."""

from typing import Any

import pytest

from deploy.images.build import KUBE_DNS
from deploy.lab import daemons, dns
from deploy.lab.addresses import CLUSTER_DNS
from deploy.lab.lab import AS_PROCESS, IN_PODS, Lab, Settings


def objects_by_kind(**settings: Any) -> dict[str, Any]:
    objects = dns.objects(Lab("x", Settings(index=3, nodes=1, **settings)))
    return {document["kind"]: document for document in objects}


def container(objects: dict[str, Any]) -> dict[str, Any]:
    (container,) = objects["ReplicationController"]["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize(("how", "is_daemon"), [(AS_PROCESS, True), (IN_PODS, False)])
def test_it_runs_in_one_way_at_a_time(how: str, is_daemon: bool) -> None:
    table = daemons.table(Lab("x", Settings(index=3, nodes=1, dns=how)))

    assert ("master/kube-dns" in {row.key for row in table}) == is_daemon


def test_the_service_has_the_address_in_the_pods_resolv_conf() -> None:
    objects = objects_by_kind()

    assert objects["Service"]["spec"]["clusterIP"] == str(CLUSTER_DNS)
    labels = objects["ReplicationController"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    assert container(objects)["image"] == KUBE_DNS


@pytest.mark.parametrize("egress", [False, True])
def test_without_egress_nothing_is_forwarded(egress: bool) -> None:
    arguments = container(objects_by_kind(egress=egress))["args"]

    assert ("--resolv-conf=" in arguments) == (not egress)
    assert "--reverse-ranges=10.0.0.0/16,10.131.0.0/16" in arguments
