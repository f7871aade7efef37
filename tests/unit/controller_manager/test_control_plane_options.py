"""Every flag of the scheduler and the controller manager with a bad value: status 2, and one line that names the flag.

The same from the command line and from a config file, before anything is started.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from component_base.flags import Options, flags_of, parse
from controller_manager.options import ControllerManagerOptions
from scheduler.options import SchedulerOptions
from tests.certificates import Authority
from tests.kubeconfigs import write_kubeconfig
from tests.refused_flags import as_file, refusal

Bad = list[tuple[str, dict[str, str]]]
"""The flag that the message must name, and the settings that are bad."""

SERVING_AND_ELECTION: Bad = [
    ("bind-address", {"bind-address": "everywhere"}),
    ("secure-port", {"secure-port": "70000"}),
    ("secure-port", {"secure-port": "-1"}),
    ("tls-cert-file", {"tls-cert-file": "{nowhere}", "tls-private-key-file": "{key}"}),
    ("tls-cert-file", {"tls-cert-file": "{junk}", "tls-private-key-file": "{key}"}),
    ("tls-cert-file", {"tls-private-key-file": "{key}"}),
    ("tls-private-key-file", {"tls-cert-file": "{certificate}"}),
    ("client-ca-file", {"client-ca-file": "{junk}"}),
    ("tls-private-key-file", {"tls-cert-file": "{certificate}", "tls-private-key-file": "{other_key}"}),
    ("leader-elect", {"leader-elect": "perhaps"}),
    ("leader-elect-lease-duration", {"leader-elect-lease-duration": "soon"}),
    ("leader-elect-lease-duration", {"leader-elect-lease-duration": "10s"}),
    ("leader-elect-lease-duration", {"leader-elect-renew-deadline": "15s"}),
    ("leader-elect-renew-deadline", {"leader-elect-renew-deadline": "2s"}),
    ("leader-elect-renew-deadline", {"leader-elect-renew-deadline": "0s"}),
    ("leader-elect-renew-deadline", {"leader-elect-retry-period": "10s"}),
    ("leader-elect-retry-period", {"leader-elect-retry-period": "0s"}),
    ("leader-elect-resource-name", {"leader-elect-resource-name": "a/b"}),
    ("leader-elect-resource-namespace", {"leader-elect-resource-namespace": "Kube_System"}),
    ("kubeconfig", {"kubeconfig": "{nowhere}"}),
    ("kubeconfig", {"kubeconfig": "{junk}"}),
    ("kubeconfig", {"kubeconfig": "{without_token}"}),
    ("v", {"v": "-1"}),
    ("logging-format", {"logging-format": "xml"}),
]

SCHEDULER: Bad = [
    ("scheduler-name", {"scheduler-name": ""}),
    ("disabled-plugins", {"disabled-plugins": "NodePorts,Nonsense"}),
    ("disabled-plugins", {"disabled-plugins": "DefaultBinder"}),
    ("plugin-weights", {"plugin-weights": "SelectorSpread"}),
    ("plugin-weights", {"plugin-weights": "SelectorSpread=much"}),
    ("plugin-weights", {"plugin-weights": "SelectorSpread=-1"}),
    ("plugin-weights", {"plugin-weights": "SelectorSpread=1000000000000000000"}),
    ("plugin-weights", {"plugin-weights": "Nonsense=1"}),
    ("plugin-weights", {"plugin-weights": "NodePorts=1"}),
    ("plugin-weights", {"plugin-weights": "SelectorSpread=1", "disabled-plugins": "SelectorSpread"}),
]

CONTROLLER_MANAGER: Bad = [
    ("controllers", {"controllers": "*,nonsense"}),
    ("controllers", {"controllers": "*,-nonsense"}),
    ("terminated-pod-gc-threshold", {"terminated-pod-gc-threshold": "-1"}),
    ("root-ca-file", {"root-ca-file": "{nowhere}"}),
    ("root-ca-file", {"root-ca-file": "{key}"}),
    ("legacy-service-account-token-secrets", {"legacy-service-account-token-secrets": "perhaps"}),
    ("service-account-private-key-file", {"service-account-private-key-file": "{nowhere}"}),
    ("service-account-private-key-file", {"service-account-private-key-file": "{certificate}"}),
    ("service-account-private-key-file", {"service-account-private-key-file": "{elliptic_key}"}),
    *(
        (f"{prefix}-{file}-file", {f"{prefix}-cert-file": certificate, f"{prefix}-key-file": key})
        for prefix in (
            "cluster-signing",
            "cluster-signing-kubelet-serving",
            "cluster-signing-kubelet-client",
            "cluster-signing-kube-apiserver-client",
            "cluster-signing-legacy-unknown",
        )
        for file, certificate, key in (("cert", "{junk}", "{key}"), ("key", "{certificate}", "{other_key}"))
    ),
    (
        "cluster-signing-cert-file",
        {
            "cluster-signing-cert-file": "{certificate}",
            "cluster-signing-key-file": "{key}",
            "cluster-signing-kubelet-serving-cert-file": "{certificate}",
            "cluster-signing-kubelet-serving-key-file": "{key}",
        },
    ),
    ("cluster-signing-duration", {"cluster-signing-duration": "0s"}),
    ("allocate-node-cidrs", {"allocate-node-cidrs": "true"}),
    ("allocate-node-cidrs", {"allocate-node-cidrs": "perhaps"}),
    ("use-service-account-credentials", {"use-service-account-credentials": "perhaps"}),
    ("configure-cloud-routes", {"configure-cloud-routes": "perhaps"}),
    ("cluster-cidr", {"cluster-cidr": "fd00::/48"}),
    ("cluster-cidr", {"cluster-cidr": "10.128.0.1/16"}),
    ("cluster-cidr", {"cluster-cidr": "10.128.0.0"}),
    ("node-cidr-mask-size", {"node-cidr-mask-size": "33"}),
    ("node-cidr-mask-size", {"node-cidr-mask-size": "12", "cluster-cidr": "10.128.0.0/16"}),
    ("service-cluster-ip-range", {"service-cluster-ip-range": "fd00::/108"}),
    ("service-cluster-ip-range", {"service-cluster-ip-range": "10.128.1.0/24", "cluster-cidr": "10.128.0.0/16"}),
    ("node-monitor-period", {"node-monitor-period": "0s"}),
    ("node-monitor-grace-period", {"node-monitor-grace-period": "-5s"}),
    ("node-monitor-grace-period", {"node-monitor-grace-period": "4s"}),
    ("node-startup-grace-period", {"node-startup-grace-period": "0"}),
    ("node-eviction-rate", {"node-eviction-rate": "0"}),
    ("node-eviction-rate", {"node-eviction-rate": "inf"}),
    ("node-eviction-rate", {"node-eviction-rate": "nan"}),
    ("pod-eviction-timeout", {"pod-eviction-timeout": "-1s"}),
    ("concurrent-rc-syncs", {"concurrent-rc-syncs": "0"}),
    ("concurrent-endpoint-syncs", {"concurrent-endpoint-syncs": "0"}),
    ("concurrent-namespace-syncs", {"concurrent-namespace-syncs": "-1"}),
    ("concurrent-resource-quota-syncs", {"concurrent-resource-quota-syncs": "0"}),
    ("resource-quota-sync-period", {"resource-quota-sync-period": "0s"}),
    ("concurrent-gc-syncs", {"concurrent-gc-syncs": "many"}),
]

ROWS = [
    *((SchedulerOptions, flag, settings) for flag, settings in SERVING_AND_ELECTION + SCHEDULER),
    *((ControllerManagerOptions, flag, settings) for flag, settings in SERVING_AND_ELECTION + CONTROLLER_MANAGER),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "junk").write_text("junk\n")
    authority = Authority(folder)
    pair, other = authority.issue("serving", "kube-scheduler"), authority.issue("other", "other")
    elliptic_key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "elliptic.key").write_bytes(elliptic_key)
    return {
        "nowhere": folder / "nowhere",
        "junk": folder / "junk",
        "certificate": pair.cert,
        "key": pair.key,
        "other_key": other.key,
        "elliptic_key": folder / "elliptic.key",
        "kubeconfig": write_kubeconfig(folder / "kubeconfig", {}),
        "without_token": write_kubeconfig(folder / "without-token", {"tokenFile": "nowhere"}),
    }


@pytest.mark.parametrize("source", ["flags", "file"])
@pytest.mark.parametrize(("options", "flag", "settings"), ROWS)
def test_a_bad_value_ends_the_start_with_one_line_that_names_the_flag(
    options: type[Options],
    flag: str,
    settings: dict[str, str],
    source: str,
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {name: value.format(**files) for name, value in {"kubeconfig": "{kubeconfig}", **settings}.items()}
    argv = [f"--{name}={value}" for name, value in values.items()]
    assert f"--{flag}" in refusal(options, as_file(argv, tmp_path) if source == "file" else argv, capsys)


@pytest.mark.parametrize("options", [SchedulerOptions, ControllerManagerOptions])
def test_every_flag_is_in_the_table(options: type[Options]) -> None:
    tested = {flag for tested_options, flag, _ in ROWS if tested_options is options}
    assert {flag.name for flag in flags_of(options)} == tested | {"config"}


@pytest.mark.parametrize("options", [SchedulerOptions, ControllerManagerOptions])
def test_good_values_are_accepted(options: type[Options], files: dict[str, Path]) -> None:
    read = parse(options, "daemon", "", [f"--kubeconfig={files['kubeconfig']}", "--leader-elect-resource-name=a"])
    assert read.sources["leader-elect-resource-name"] == "flag"


def test_contradictory_durations_do_not_matter_without_an_election(files: dict[str, Path]) -> None:
    argv = [f"--kubeconfig={files['kubeconfig']}", "--leader-elect=false", "--leader-elect-lease-duration=1s"]
    assert not parse(SchedulerOptions, "kube-scheduler", "", argv).election.leader_elect


def test_without_a_kubeconfig_outside_of_a_cluster_the_message_names_the_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SystemExit):
        parse(SchedulerOptions, "kube-scheduler", "", [])
    assert "--kubeconfig: not in a cluster" in capsys.readouterr().err
