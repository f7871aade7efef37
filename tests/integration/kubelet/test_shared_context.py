"""What the containers of a pod share with each other and with their node: namespaces, names, resolver, ports, sysctls."""

import asyncio
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, NODE, Cluster
from tests.integration.kubelet.pods import SLEEP, Pods, container, container_id, is_ready, status_of
from tests.integration.kubelet.test_pods import run_in
from tests.integration.kubelet.test_resources import kubelet_with
from tests.support import eventually


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def in_pod(cluster: Cluster, pod: core_v1.Pod, *command: str, name: str = "main") -> str:
    return run_in(cluster, container_id(pod, name), *command)


def namespace_in(cluster: Cluster, pod: core_v1.Pod, kind: str) -> str:
    return in_pod(cluster, pod, "readlink", f"/proc/self/ns/{kind}").strip()


async def test_hosts_of_the_pod_s_own(pods: Pods, cluster: Cluster, namespace: str) -> None:
    aliases = [core_v1.HostAlias(ip="192.0.2.7", hostnames=["db", "db.example"])]
    pod = await pods.running("named", hostname="web", subdomain="site", host_aliases=aliases)
    hosts = in_pod(cluster, pod, "cat", "/etc/hosts")
    assert "192.0.2.7\tdb\tdb.example\n" in hosts
    assert f"{pod.status.pod_ip}\tweb.site.{namespace}.svc.cluster.local\tweb\n" in hosts
    assert in_pod(cluster, pod, "hostname") == "web\n"
    assert in_pod(cluster, pod, "cat", "/etc/hostname") == "web\n"


async def test_the_whole_name_as_host_name(pods: Pods, cluster: Cluster) -> None:
    whole = {"set_hostname_as_fqdn": True}
    # A short domain of the node: the test's namespace has a long name.
    with kubelet_with(cluster, "--cluster-domain=d"):
        pod = await pods.running("p", subdomain="s", **whole)
        fqdn = f"p.s.{pod.metadata.namespace}.svc.d\n"
        assert in_pod(cluster, pod, "hostname") == fqdn
        assert in_pod(cluster, pod, "cat", "/etc/hostname") == fqdn
        pod = await pods.create("long", subdomain="s" * 60, **whole)
        await pods.event(pod, "FailedCreatePodSandBox", "is too long (64 characters is the max")
        assert (await pods.get("long")).status.phase == "Pending"


@pytest.mark.parametrize("policy", ["None", "Default", "ClusterFirst"])
async def test_a_pod_s_resolver(pods: Pods, cluster: Cluster, namespace: str, policy: str) -> None:
    own = core_v1.PodDNSConfig(
        nameservers=["192.0.2.53"],
        searches=["own.example"],
        options=[core_v1.PodDNSConfigOption(name="ndots", value="2"), core_v1.PodDNSConfigOption(name="edns0")],
    )
    pod = await pods.running("p", dns_policy=policy, dns_config=own)
    resolv_conf = in_pod(cluster, pod, "cat", "/etc/resolv.conf")
    node = await asyncio.to_thread(Path("/etc/resolv.conf").read_text)
    expected = [line for line in node.splitlines() if line.startswith("nameserver")]
    if policy == "None":
        assert resolv_conf == "nameserver 192.0.2.53\nsearch own.example\noptions ndots:2 edns0\n"
    elif policy == "Default":
        assert resolv_conf.splitlines()[: len(expected[:2])] == expected[:2]
        assert "nameserver 192.0.2.53" in resolv_conf
        assert "svc.cluster.local" not in resolv_conf
    else:
        assert resolv_conf.startswith(
            f"nameserver 10.0.0.10\nnameserver 192.0.2.53\nsearch {namespace}.svc.cluster.local "
        )
        assert "own.example\noptions ndots:2 edns0\n" in resolv_conf


async def test_processes_of_a_pod_see_each_other_where_it_asks_for_that(pods: Pods, cluster: Cluster) -> None:
    main, other = container("main"), container("other", ["sleep", "4321"])
    shared = await pods.running("shared", main, other, share_process_namespace=True)
    assert "sleep 4321" in in_pod(cluster, shared, "ps")
    assert "pause" in in_pod(cluster, shared, "cat", "/proc/1/cmdline")
    apart = await pods.running("apart", main, other)
    assert "sleep 4321" not in in_pod(cluster, apart, "ps")


async def test_the_node_s_own_namespaces(pods: Pods, cluster: Cluster) -> None:
    host = await pods.running("host", host_network=True, host_pid=True, host_ipc=True)
    apart = await pods.running("apart")
    for kind in ("net", "pid", "ipc"):
        of_node = os.readlink(f"/proc/{cluster.kubelet.pid}/ns/{kind}")
        assert namespace_in(cluster, host, kind) == of_node
        assert namespace_in(cluster, apart, kind) != of_node
    assert host.status.pod_ip == ADDRESS
    assert in_pod(cluster, host, "cat", "/etc/hostname") == f"{NODE}\n"


def fetch(address: str, port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/name", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.URLError as exc:
        return str(exc.reason)


async def test_host_ports_on_addresses_of_their_own(pods: Pods) -> None:
    for name, address in (("one", ADDRESS), ("two", "127.0.0.1")):
        port = core_v1.ContainerPort(container_port=8080, host_port=18888, host_ip=address)
        serve = f"mkdir /www && echo {name} > /www/name && exec httpd -f -p 8080 -h /www"
        await pods.running(name, container(command=["sh", "-c", serve], ports=[port]))

    async def serves(address: str, name: str) -> bool:
        try:
            return await asyncio.to_thread(fetch, address, 18888) == f"{name}\n"
        except OSError:  # its server does not listen yet
            return False

    await eventually(lambda: serves(ADDRESS, "one"))
    await eventually(lambda: serves("127.0.0.1", "two"))
    for name in ("one", "two"):
        await pods.delete(name)
        await pods.until_gone(name)
    assert "refused" in await asyncio.to_thread(fetch, ADDRESS, 18888)


def sysctl(name: str, value: str) -> core_v1.PodSecurityContext:
    return core_v1.PodSecurityContext(sysctls=[core_v1.Sysctl(name=name, value=value)])


async def test_kernel_parameters(pods: Pods, cluster: Cluster) -> None:
    safe = await pods.running("safe", security_context=sysctl("net.ipv4.ip_unprivileged_port_start", "77"))
    assert in_pod(cluster, safe, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "77\n"
    await pods.create("unsafe", security_context=sysctl("kernel.msgmax", "65536"))
    rejected = await pods.until("unsafe", lambda pod: pod.status.phase == "Failed")
    assert rejected.status.reason == "SysctlForbidden"
    assert 'forbidden sysctl: "kernel.msgmax" not allowlisted' in (rejected.status.message or "")
    with kubelet_with(cluster, "--allowed-unsafe-sysctls=kernel.msg*"):
        allowed = await pods.running("allowed", security_context=sysctl("kernel.msgmax", "65536"))
        assert in_pod(cluster, allowed, "cat", "/proc/sys/kernel/msgmax") == "65536\n"


async def test_a_container_that_ends_leaves_its_siblings_and_the_address_alone(pods: Pods, cluster: Cluster) -> None:
    pod = await pods.running("pair", container("main", SLEEP), container("other"))
    with cluster.docker() as engine:
        engine.kill(container_id(pod))
    after = await pods.until("pair", lambda pod: status_of(pod).restart_count == 1 and is_ready(pod))
    assert container_id(after, "other") == container_id(pod, "other")
    assert after.status.pod_ip == pod.status.pod_ip
