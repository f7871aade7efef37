"""Names as pods resolve them: through resolv.conf, the DNS service's fixed address, and the name server behind it."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, controller, eventually, service, sleeper

SERVER = "10.0.0.10"
SOON = 1.0
"""Seconds after which a change of a service is visible in answers."""

_WATCH = """
echo watching
until nslookup {name} {server} 2>/dev/null | grep -q "{address}"; do :; done
cat /proc/uptime
"""
"""Prints when the answer first appeared, by the clock that pods share with their host. Started before the change, so
that the pod's start does not count."""


@pytest.fixture(scope="module")
def namespace(lab: Lab) -> Iterator[str]:
    """Two pods of a service ``web``, one on each node, and a pod ``shell`` for lookups."""
    with lab.namespace("names") as name:
        lab.apply(controller("web", 2), service("web"), sleeper("shell"), namespace=name)
        lab.ready_pods("app=web", 2, name)
        lab.kubectl("wait", "-n", name, "--for=condition=Ready", "pod/shell", "--timeout=60s")
        yield name


def in_shell(lab: Lab, namespace: str, *command: str, check: bool = True) -> str:
    return lab.kubectl("exec", "-n", namespace, "shell", "--", *command, check=check)


def looked_up(lab: Lab, namespace: str, name: str, type: str = "a") -> str:
    """The output of ``nslookup`` for a fully qualified name."""
    return in_shell(lab, namespace, "nslookup", f"-type={type}", f"{name}.", check=False)


def cluster_ip(lab: Lab, namespace: str, name: str) -> str:
    return str(lab.get("service", "-n", namespace, name)["spec"]["clusterIP"])


def test_a_pod_s_resolv_conf_names_the_cluster_s_server_and_search_path(lab: Lab, namespace: str) -> None:
    lines = in_shell(lab, namespace, "cat", "/etc/resolv.conf").splitlines()

    assert [line for line in lines if line.startswith("nameserver")] == [f"nameserver {SERVER}"]
    (search,) = (line.split()[1:] for line in lines if line.startswith("search"))
    assert search[:3] == [f"{namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    assert any("ndots:5" in line for line in lines if line.startswith("options"))


@pytest.mark.parametrize("form", ["web", "web.{0}", "web.{0}.svc", "web.{0}.svc.cluster.local", "web.{0}."])
def test_a_service_is_reached_by_every_form_of_its_name(lab: Lab, namespace: str, form: str) -> None:
    url = f"http://{form.format(namespace)}:1234/"

    started = time.monotonic()
    page = eventually(lambda: in_shell(lab, namespace, "wget", "-T", "5", "-qO-", url))

    assert page.startswith("web-")
    assert time.monotonic() - started < 4, "an answer about IPv6 was waited for"


def test_nslookup_of_a_short_name_finds_the_cluster_ip(lab: Lab, namespace: str) -> None:
    output = in_shell(lab, namespace, "nslookup", f"web.{namespace}.svc.cluster.local", check=False)

    assert re.search(rf"^Server:\s+{re.escape(SERVER)}", output, re.MULTILINE), output
    assert f"Address: {cluster_ip(lab, namespace, 'web')}" in output


def test_records_of_every_kind_reach_a_pod(lab: Lab, namespace: str) -> None:
    lab.apply(
        {**service("db", clusterIP="None", ports=[{"name": "sql", "port": 8080}]), "metadata": {"name": "db"}},
        sleeper("db-0", hostname="zero", subdomain="db") | {"metadata": {"name": "db-0", "labels": {"app": "db"}}},
        service("alias", type="ExternalName", externalName=f"web.{namespace}.svc.cluster.local", selector=None),
        namespace=namespace,
    )
    lab.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/db-0", "--timeout=60s")
    ip, pod_ip = cluster_ip(lab, namespace, "web"), lab.get("pod", "-n", namespace, "db-0")["status"]["podIP"]
    zone = f"{namespace}.svc.cluster.local"
    reverse = ".".join(reversed(pod_ip.split("."))) + ".in-addr.arpa"
    expected = [
        (f"db.{zone}", "a", pod_ip),
        (f"zero.db.{zone}", "a", pod_ip),
        (f"_sql._tcp.db.{zone}", "srv", f"8080 zero.db.{zone}"),
        (reverse, "ptr", f"zero.db.{zone}"),
        (".".join(reversed(ip.split("."))) + ".in-addr.arpa", "ptr", f"web.{zone}"),
        (f"alias.{zone}", "a", ip),
        (f"{pod_ip.replace('.', '-')}.{namespace}.pod.cluster.local", "a", pod_ip),
        ("dns-version.cluster.local", "txt", "1.1.0"),
    ]
    for name, type, data in expected:
        eventually(lambda n=name, t=type, d=data: d in looked_up(lab, namespace, n, t), timeout=5)


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_a_change_of_a_service_shows_within_a_second(lab: Lab, namespace: str) -> None:
    ip = "10.0.77.7"
    script = _WATCH.format(name=f"late.{namespace}.svc.cluster.local", server=SERVER, address=ip)
    pod = sleeper("watcher", command=["sh", "-c", script], restartPolicy="Never")
    lab.apply(pod, namespace=namespace)
    eventually(lambda: "watching" in lab.kubectl("logs", "-n", namespace, "watcher", check=False))

    lab.apply(service("late", clusterIP=ip), namespace=namespace)
    created = uptime()

    clock = eventually(lambda: lab.kubectl("logs", "-n", namespace, "watcher").split()[1:], timeout=10)
    assert float(clock[0]) - created < SOON
