"""kube-proxy's flags: a bad value of any of them is refused before anything starts."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from component_base.flags import flags_of, parse
from component_base.values import HostPort, PortRange
from kube_proxy.options import KubeProxyOptions
from tests.kubeconfigs import kubeconfig_flag
from tests.refused_flags import as_file, refusal


def options(*flags: str) -> KubeProxyOptions:
    return parse(KubeProxyOptions, "kube-proxy", argv=flags)


def valid(flag: str) -> list[str]:
    """What must be right for ``flag`` to be the one that is wrong."""
    return [] if flag == "kubeconfig" else [kubeconfig_flag()]


BAD = [
    ("kubeconfig", "/nonexistent"),
    ("kubeconfig", "{junk}"),
    ("hostname-override", ""),
    ("hostname-override", "node one"),
    ("cleanup", "perhaps"),
    ("network-policy", "maybe"),
    ("proxy-mode", "ipvs"),
    ("iptables-backend", "nftables"),
    ("bind-address", "::"),
    ("bind-address", "192.0.2.1"),
    ("proxy-port-range", "20000"),
    ("proxy-port-range", "0-100"),
    ("proxy-port-range", "30000-20000"),
    ("nodeport-addresses", "192.0.2.0/24,fd00::/64"),
    ("cluster-cidr", "fd00::/108"),
    ("cluster-cidr", "10.244.0.1/16"),
    ("service-cluster-ip-range", "fd00::/108"),
    ("service-cluster-ip-range", "10.0.0.0"),
    ("iptables-sync-period", "0s"),
    ("iptables-sync-period", "often"),
    ("workers", "0"),
    ("healthz-bind-address", "localhost:10256"),
    ("healthz-bind-address", "127.0.0.1"),
    ("metrics-bind-address", "127.0.0.1:70000"),
    ("tls-cert-file", "/nonexistent"),
    ("tls-cert-file", "{junk}"),
    ("tls-private-key-file", "{junk}"),
    ("client-ca-file", "{junk}"),
    ("config", "{junk}"),
    ("v", "-1"),
    ("logging-format", "xml"),
]


@pytest.mark.parametrize(("flag", "value"), BAD)
def test_a_bad_value_ends_the_start_with_one_line_that_names_the_flag(
    flag: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = tmp_path / "junk"
    junk.write_text("junk\n")
    flags = [*valid(flag), f"--{flag}={value.format(junk=junk)}"]
    assert f"--{flag}" in refusal(KubeProxyOptions, flags, capsys)
    if flag != "config":
        assert f"--{flag}" in refusal(KubeProxyOptions, as_file(flags, tmp_path), capsys)


def test_every_flag_is_in_the_table() -> None:
    assert {flag.name for flag in flags_of(KubeProxyOptions)} == {flag for flag, _ in BAD}


def test_good_values_are_read() -> None:
    read = options(
        kubeconfig_flag(),
        "--hostname-override=node-1.example",
        "--cluster-cidr=10.244.0.0/16",
        "--nodeport-addresses=192.0.2.0/24",
        "--proxy-port-range=20000-20100",
        "--healthz-bind-address=[::]:10256",
    )
    assert read.node == "node-1.example"
    assert read.proxy.cluster_cidr == IPv4Network("10.244.0.0/16")
    assert read.proxy.nodeport_addresses == (IPv4Network("192.0.2.0/24"),)
    assert read.proxy.proxy_port_range == PortRange(20000, 20100)
    assert read.serving.healthz_bind_address == HostPort("::", 10256)
