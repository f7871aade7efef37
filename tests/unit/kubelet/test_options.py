"""Every flag of the kubelet refuses a bad value: status 2, and one line that names the flag."""

from pathlib import Path

import pytest

from component_base.flags import describe, flags_of, parse
from kubelet.options import KubeletOptions
from kubelet.resources.thresholds import Threshold
from tests.certificates import Authority
from tests.kubeconfigs import write_kubeconfig
from tests.refused_flags import as_file, refusal

BAD_VALUES = [
    ("kubeconfig", "/dev"),
    ("kubeconfig", "/dev/null/kubeconfig"),
    ("bootstrap-kubeconfig", "/nowhere"),
    ("cert-dir", "/dev/null"),
    ("rotate-certificates", "maybe"),
    ("rotate-server-certificates", "maybe"),
    ("hostname-override", "a_b"),
    ("node-ip", "10.0.0"),
    ("register-node", "maybe"),
    ("node-labels", "zone=a b"),
    ("node-labels", "zone=a,zone=b"),
    ("node-status-update-frequency", "0s"),
    ("sync-frequency", "soon"),
    ("pod-manifest-path", "/dev/null"),
    ("file-check-frequency", "-1s"),
    ("max-pods", "-1"),
    ("root-dir", "/dev/null"),
    ("root-dir", "/dev/null/kubelet"),
    ("docker-endpoint", "ftp://engine"),
    ("docker-endpoint", "http://engine:0"),
    ("docker-endpoint", "tcp://:2375"),
    ("docker-endpoint", "tcp://[engine"),
    ("docker-endpoint", "unix://engine.sock"),
    ("pod-infra-container-image", "peapod/Pause:"),
    ("container-log-max-size", "huge"),
    ("container-log-max-files", "1"),
    ("image-gc-high-threshold", "101"),
    ("image-gc-low-threshold", "-1"),
    ("minimum-image-ttl-duration", "-2m"),
    ("cluster-dns", "10.0.0.10,dns"),
    ("cluster-domain", "cluster local"),
    ("cluster-cidr", "fd00::/64"),
    ("service-cluster-ip-range", "10.0.0.1/16"),
    ("network-plugin-mtu", "-1"),
    ("resolv-conf", "/nowhere"),
    ("system-reserved", "cpu=abc"),
    ("kube-reserved", "moons=1"),
    ("allowed-unsafe-sysctls", "net.core.somaxconn,Kernel!"),
    ("seccomp-default", "perhaps"),
    ("eviction-hard", "nonsense"),
    ("address", "everywhere"),
    ("port", "70000"),
    ("tls-cert-file", "/nowhere"),
    ("tls-private-key-file", "/nowhere"),
    ("client-ca-file", "/nowhere"),
    ("healthz-bind-address", "localhost"),
    ("healthz-port", "http"),
    ("anonymous-auth", "perhaps"),
    ("authentication-token-webhook", "perhaps"),
    ("authentication-token-webhook-cache-ttl", "-1s"),
    ("authorization-mode", "RBAC"),
    ("authorization-webhook-cache-authorized-ttl", "-1s"),
    ("authorization-webhook-cache-unauthorized-ttl", "long"),
    ("config", "/nowhere"),
    ("v", "much"),
    ("logging-format", "xml"),
]


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig")


def test_the_table_has_every_flag() -> None:
    assert {flag for flag, _ in BAD_VALUES} == {flag.name for flag in flags_of(KubeletOptions)}


@pytest.mark.parametrize(("flag", "value"), BAD_VALUES)
def test_a_bad_value(
    flag: str, value: str, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ([] if flag == "kubeconfig" else [f"--kubeconfig={kubeconfig}"]) + [f"--{flag}={value}"]
    assert f'invalid argument "{value}" for "--{flag}" flag' in refusal(KubeletOptions, flags, capsys)
    if flag != "config":
        assert f'"--{flag}" flag' in refusal(KubeletOptions, as_file(flags, tmp_path), capsys)


def test_a_kubeconfig_must_be_there_unless_the_node_is_to_join(
    kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = f"--kubeconfig={tmp_path / 'later'}"
    assert "--kubeconfig: " in refusal(KubeletOptions, [later], capsys)
    options = parse(KubeletOptions, "kubelet", argv=[later, f"--bootstrap-kubeconfig={kubeconfig}"])
    assert options.cert_dir == Path("/var/lib/kubelet/pki")
    junk = tmp_path / "junk"
    junk.write_text("junk")
    flags = [later, f"--bootstrap-kubeconfig={junk}"]
    assert "--bootstrap-kubeconfig: " in refusal(KubeletOptions, flags, capsys)


def test_a_serving_certificate_is_given_or_issued(
    kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("kubelet", "kubelet")
    issued = [f"--kubeconfig={kubeconfig}", "--rotate-server-certificates"]
    given = [f"--tls-cert-file={pair.cert}", f"--tls-private-key-file={pair.key}"]
    trust = f"--client-ca-file={authority.cert}"
    parse(KubeletOptions, "kubelet", argv=[*issued, trust])
    assert "needs --client-ca-file" in refusal(KubeletOptions, issued, capsys)
    assert "excludes --tls-cert-file" in refusal(KubeletOptions, [*issued, *given, trust], capsys)


def test_values_are_parsed_once_and_written_back_as_text(kubeconfig: Path) -> None:
    flags = (
        "--system-reserved=cpu=500m,memory=1Gi",
        "--eviction-hard=memory.available<100Mi,nodefs.available<10%",
        "--container-log-max-size=512Ki",
        "--node-labels=zone=a,disk=ssd",
        "--allowed-unsafe-sysctls=net.core.somaxconn,kernel.msg*",
    )
    options = parse(KubeletOptions, "kubelet", argv=[f"--kubeconfig={kubeconfig}", *flags])
    assert options.resources.system_reserved == {"cpu": 500, "memory": 1 << 30}
    assert options.resources.eviction_hard == (
        Threshold("memory.available", 100 << 20),
        Threshold("nodefs.available", percent=10),
    )
    assert options.runtime.container_log_max_size == 512 * 1024
    again = parse(KubeletOptions, "kubelet", argv=[line.partition(" ")[0] for line in _set(describe(options))])
    assert (again.node, again.resources, again.runtime) == (options.node, options.resources, options.runtime)


def _set(lines: list[str]) -> list[str]:
    return [line for line in lines if line.endswith("(flag)")]
