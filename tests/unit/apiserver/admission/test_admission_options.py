"""Which plugins run, in which order, and what their configuration file may say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.admission import configuration
from apiserver.admission.plugins import OFF_BY_DEFAULT, ON_BY_DEFAULT, PLUGINS, selected
from apiserver.admission.pod_security.configuration import PodSecurityConfiguration
from apiserver.admission.pod_security.levels import LevelVersion, Policy
from apiserver.options import ApiserverOptions
from component_base.flags import parse
from tests.certificates import Authority

KUBERNETES = (
    "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "PodSecurity", "Priority",
    "DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection",
    "OwnerReferencesPermissionEnforcement", "RuntimeClass", "CertificateApproval", "CertificateSigning",
    "CertificateSubjectRestriction", "DenyServiceExternalIPs", "ResourceQuota",
)  # fmt: skip
"""The order of Kubernetes' AllOrderedPlugins, as far as there are such plugins here."""


def test_plugins_are_asked_in_the_order_of_kubernetes() -> None:
    assert [name for name in KUBERNETES if name in PLUGINS] == list(PLUGINS)


def test_which_plugins_run() -> None:
    assert selected((), ()) == list(ON_BY_DEFAULT)
    assert selected(["DenyServiceExternalIPs"], ["Priority", "PodSecurity"]) == [
        name for name in PLUGINS if name not in ("Priority", "PodSecurity", "OwnerReferencesPermissionEnforcement")
    ]
    assert set(OFF_BY_DEFAULT) == {"DenyServiceExternalIPs", "OwnerReferencesPermissionEnforcement"}


@pytest.mark.parametrize("flag", ["enable", "disable"])
def test_an_unknown_plugin_ends_the_start_and_the_known_ones_are_named(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Authority(tmp_path).issue("serving", "kube-apiserver")
    serving = [f"--tls-cert-file={pair.cert}", f"--tls-private-key-file={pair.key}"]
    with pytest.raises(SystemExit) as end:
        parse(
            ApiserverOptions, "kube-apiserver", "", [*serving, f"--{flag}-admission-plugins=Priority,PodNodeSelector"]
        )
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "PodNodeSelector" in told
    assert all(name in told for name in PLUGINS)


def test_help_lists_the_plugins_and_which_are_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(ApiserverOptions, "kube-apiserver", "", ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"on by default ({', '.join(ON_BY_DEFAULT)})" in told
    assert all(name in told for name in OFF_BY_DEFAULT)


POD_SECURITY: dict[str, Any] = {
    "apiVersion": "pod-security.admission.config.k8s.io/v1",
    "kind": "PodSecurityConfiguration",
    "defaults": {"enforce": "baseline", "warn": "restricted", "warn-version": "v1.30"},
    "exemptions": {"usernames": ["ann"], "runtimeClasses": ["kata"], "namespaces": ["kube-system"]},
}


def written(folder: Path, *plugins: dict[str, Any], **document: Any) -> Path:
    whole = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": plugins,
        **document,
    }
    (folder / "admission").write_text(yaml.safe_dump({**whole, "plugins": list(plugins)}))
    return folder / "admission"


def test_defaults_and_exemptions_come_from_the_file_or_from_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pods").write_text(yaml.safe_dump(POD_SECURITY))
    expected = PodSecurityConfiguration(
        Policy(enforce=LevelVersion("baseline"), warn=LevelVersion("restricted", "v1.30")),
        frozenset({"ann"}), frozenset({"kata"}), frozenset({"kube-system"}),
    )  # fmt: skip
    for plugin in ({"configuration": POD_SECURITY}, {"path": "pods"}):
        assert configuration.read(written(tmp_path, {"name": "PodSecurity", **plugin})).pod_security == expected
    assert configuration.read(written(tmp_path)) == configuration.Configuration()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kind": "Other"}, "must be a PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1"),
        (
            {"defaults": {"enforce": "strict"}},
            "defaults.enforce: 'strict' must be one of privileged, baseline, restricted",
        ),
        ({"defaults": {"warn-version": "1.2"}}, 'defaults.warn-version: \'1.2\' must be "latest" or "v1.x"'),
        ({"defaults": {"enforced": "baseline"}}, "enforced"),
        ({"exemptions": {"namespaces": ["a", "a"]}}, "exemptions.namespaces[1]: 'a' is there already"),
        ({"exemptions": {"namespaces": ["A"]}}, "exemptions.namespaces[0]: 'A'"),
        ({"exemptions": {"usernames": [""]}}, "exemptions.usernames[0]: '': must not be empty"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"name": "PodSecurity", "configuration": {**POD_SECURITY, **change}})
    with pytest.raises(ValueError, match=r"plugins.0.\.configuration: ") as raised:
        configuration.read(path)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("plugin", "fault"),
    [
        ({"name": "ResourceQuota", "configuration": {}}, "takes no configuration"),
        ({"name": "PodSecurity"}, "must have either configuration or path"),
        ({"configuration": {}}, "name"),
        ({"name": "PodSecurity", "config": {}}, "config"),
    ],
)
def test_what_would_not_be_acted_upon_is_refused(plugin: dict[str, Any], fault: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=fault):
        configuration.read(written(tmp_path, plugin))
