"""resolv.conf, hosts and host name of pods."""

from pathlib import Path

import pytest

from apimachinery.types import core_v1, meta_v1
from kubelet.containers import etc_files
from kubelet.containers.etc_files import BadHostname, Resolver, hostname_of, hosts_for, parse_resolver, resolver_for

NODE = Resolver(("192.168.0.9",), ("corp.example",), ("timeout:1",))


def make_pod(name: str = "web", **spec: object) -> core_v1.Pod:
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace="ns"),
        spec=core_v1.PodSpec(**spec),  # type: ignore[arg-type]
    )


def test_a_pod_asks_the_cluster_s_dns_and_searches_its_namespace_first() -> None:
    resolver = resolver_for(make_pod(dns_policy="ClusterFirst"), NODE, ["10.0.0.10"], "cluster.local")
    assert resolver.text() == (
        "nameserver 10.0.0.10\n"
        "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
        "options ndots:5\n"
    )


def test_without_a_cluster_dns_or_on_the_host_network_it_is_the_node_s() -> None:
    assert resolver_for(make_pod(), NODE, [], "cluster.local") == NODE
    on_host = make_pod(dns_policy="ClusterFirst", host_network=True)
    assert resolver_for(on_host, NODE, ["10.0.0.10"], "cluster.local") == NODE
    on_host = make_pod(dns_policy="ClusterFirstWithHostNet", host_network=True)
    assert resolver_for(on_host, NODE, ["10.0.0.10"], "cluster.local").nameservers == ("10.0.0.10",)
    assert resolver_for(make_pod(dns_policy="Default"), NODE, ["10.0.0.10"], "cluster.local") == NODE


def test_a_pod_s_own_dns_config_is_added_and_its_options_win() -> None:
    config = core_v1.PodDNSConfig(
        nameservers=["1.1.1.1"], searches=["x.y"], options=[core_v1.PodDNSConfigOption(name="ndots", value="2")]
    )
    pod = make_pod(dns_policy="None", dns_config=config)
    assert resolver_for(pod, NODE, ["10.0.0.10"], "c.l") == Resolver(("1.1.1.1",), ("x.y",), ("ndots:2",))
    pod = make_pod(dns_config=config)
    assert resolver_for(pod, NODE, ["10.0.0.10"], "c.l").options == ("ndots:2",)


def test_the_node_s_resolver_is_read() -> None:
    text = "# c\nnameserver 192.168.0.9\nsearch corp.example\noptions timeout:1\n"
    assert parse_resolver(text) == NODE


def test_hosts_name_the_pod_and_its_aliases() -> None:
    pod = make_pod(subdomain="sub", host_aliases=[core_v1.HostAlias(ip="1.2.3.4", hostnames=["a", "b"])])
    text = hosts_for(pod, "web", "10.1.0.5", "cluster.local", "node's")
    assert "10.1.0.5\tweb.sub.ns.svc.cluster.local\tweb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert "node's" in hosts_for(make_pod(host_network=True), "n", "", "cluster.local", "node's")


def test_the_whole_name_as_host_name() -> None:
    named = make_pod(subdomain="sub", set_hostname_as_fqdn=True)
    assert etc_files.kernel_hostname(named, "p", "d") == "p.sub.ns.svc.d"
    assert etc_files.kernel_hostname(make_pod(set_hostname_as_fqdn=True), "p", "d") == "p"
    assert etc_files.kernel_hostname(make_pod(subdomain="sub"), "p", "d") == "p"
    with pytest.raises(BadHostname, match=r"64 characters is the max, 65 characters requested"):
        etc_files.kernel_hostname(named, "p" * 52, "d")


def test_host_names() -> None:
    assert hostname_of(make_pod(), "node") == "web"
    assert hostname_of(make_pod(hostname="other"), "node") == "other"
    assert hostname_of(make_pod(host_network=True), "node") == "node"
    assert hostname_of(make_pod(hostname="other", hostname_override="mail.example.com"), "node") == "mail.example.com"
    assert hostname_of(make_pod("a" * 62 + "-b"), "node") == "a" * 62


def test_what_a_container_wrote_over_its_hosts_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "etc-hosts"
    path.write_bytes(b"\xff\xfe")
    assert etc_files.write(path, "10.1.0.5\tweb\n") == path
    assert path.read_text() == "10.1.0.5\tweb\n"


def test_bytes_of_the_node_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    node, pod = tmp_path / "hosts", tmp_path / "etc-hosts"
    node.write_bytes(b"10.0.0.1 caf\xe9\n")
    text = hosts_for(make_pod(host_network=True), "n", "", "cluster.local", etc_files.read(node))
    assert etc_files.write(pod, text).read_bytes().endswith(b"10.0.0.1 caf\xe9\n")


@pytest.mark.parametrize("override", ["", "a" * 65, "UPPER", "two\nlines"])
def test_a_host_name_that_overrides_has_to_be_one(override: str) -> None:
    with pytest.raises(BadHostname, match="is not a DNS subdomain of at most 64 characters"):
        hostname_of(make_pod(hostname_override=override), "node")


def test_a_host_name_that_overrides_is_in_no_subdomain() -> None:
    pod = make_pod(subdomain="sub", hostname_override="mail.example.com")
    assert hosts_for(pod, "mail.example.com", "10.1.0.5", "cluster.local", "").endswith("10.1.0.5\tmail.example.com\n")
