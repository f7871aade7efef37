"""What a namespace's labels and the configuration file ask of PodSecurity."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery import codec
from apimachinery.types.core_v1 import EphemeralContainer, Pod
from apimachinery.types.meta_v1 import OwnerReference
from apiserver.admission.configuration import Configurations, read_configuration
from apiserver.admission.pod_security.levels import LATEST, PREFIX, LevelVersion, Policy, read_labels
from apiserver.admission.pod_security.plugin import is_significant, one_of_each_controller_first
from tests.objects import make_pod

RESTRICTED = LevelVersion("restricted")
DEFAULTS = Policy(warn=LevelVersion("baseline", 20))


def labels(**values: str) -> dict[str, str]:
    return {PREFIX + name.replace("_", "-"): value for name, value in values.items()}


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        (None, DEFAULTS),
        ({"app": "x"}, DEFAULTS),
        (labels(enforce="restricted"), DEFAULTS._replace(enforce=RESTRICTED)),
        (
            labels(enforce="baseline", enforce_version="v1.7"),
            DEFAULTS._replace(enforce=LevelVersion("baseline", 7)),
        ),
        (labels(warn="privileged"), Policy(warn=LevelVersion("privileged", 20))),
        (labels(audit_version="v1.0"), DEFAULTS._replace(audit=LevelVersion("privileged", 0))),
    ],
)
def test_labels_win_over_defaults(given: dict[str, str] | None, policy: Policy) -> None:
    assert read_labels(given, DEFAULTS) == (policy, ())


def test_a_wrong_label_enforces_the_strictest_level_and_warns_of_nothing() -> None:
    policy, faults = read_labels(labels(enforce="x", audit="x", warn="x", enforce_version="v2.0"), DEFAULTS)
    assert policy == Policy(RESTRICTED, LevelVersion(), LevelVersion("privileged", 20))
    assert [str(fault) for fault in faults] == [
        f'metadata.labels[{PREFIX}enforce]: Invalid value: "x": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}enforce-version]: Invalid value: "v2.0": must be "latest" or "v1.x"',
        f'metadata.labels[{PREFIX}audit]: Invalid value: "x": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}warn]: Invalid value: "x": must be one of privileged, baseline, restricted',
    ]


@pytest.mark.parametrize("version", ["", "v1", "v1.", "v1.01", "v1.-1", "1.20", "v1.20\n", "v1.٣", "v1." + "9" * 99])
def test_versions_that_are_none(version: str) -> None:
    assert read_labels(labels(enforce_version=version), DEFAULTS).faults


def pod_with(*images: str, ephemeral: tuple[str, ...] = ()) -> Pod:
    pod = make_pod()
    containers = [codec.copy(pod.spec.containers[0]) for _ in images]
    for i, image in enumerate(images):
        containers[i].name, containers[i].image = f"c{i}", image
    pod.spec.containers = containers
    pod.spec.ephemeral_containers = [EphemeralContainer(name=name, image="i") for name in ephemeral] or None
    return pod


def test_updates_count_that_change_an_image_or_add_a_container() -> None:
    pod = pod_with("a", "b")
    labelled = codec.copy(pod)
    labelled.metadata.labels = {"x": "y"}
    assert not is_significant(labelled, pod)
    assert is_significant(pod_with("a", "c"), pod)
    assert is_significant(pod_with("a", "b", ephemeral=("debug",)), pod)
    assert not is_significant(pod_with("a", ephemeral=("debug",)), pod_with("a", ephemeral=("debug",)))


def test_pods_of_different_controllers_are_checked_first() -> None:
    pods = [make_pod(name) for name in ("a1", "a2", "b1", "own", "b2")]
    for pod in pods:
        if pod.metadata.name != "own":
            uid = (pod.metadata.name or "")[0]
            pod.metadata.owner_references = [
                OwnerReference(api_version="v1", kind="R", name=uid, uid=uid, controller=True)
            ]
    assert [pod.metadata.name for pod in one_of_each_controller_first(pods)] == ["a1", "b1", "own", "a2", "b2"]


# -- the file


def configured(tmp_path: Path, configuration: dict[str, Any] | None, **plugin: Any) -> Configurations:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": configuration} | plugin],
    }
    (tmp_path / "admission.yaml").write_text(yaml.safe_dump(document))
    return read_configuration(tmp_path / "admission.yaml")


def pod_security(**fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
    } | fields


def test_defaults_and_exemptions_come_from_the_file(tmp_path: Path) -> None:
    document = pod_security(
        defaults={"enforce": "baseline", "warn": "restricted", "warn-version": "v1.20"},
        exemptions={"namespaces": ["kube-system"], "usernames": ["ann"], "runtimeClasses": ["vm"]},
    )
    read = configured(tmp_path, document).pod_security
    assert read.defaults == Policy(LevelVersion("baseline"), LevelVersion(), LevelVersion("restricted", 20))
    assert (read.namespaces, read.usernames, read.runtime_classes) == ({"kube-system"}, {"ann"}, {"vm"})


def test_a_configuration_may_be_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump(pod_security(defaults={"audit": "baseline"})))
    read = configured(tmp_path, None, path="pods.yaml").pod_security
    assert read.defaults == Policy(audit=LevelVersion("baseline", LATEST))


@pytest.mark.parametrize(
    ("configuration", "plugin", "says"),
    [
        (pod_security(kind="Other"), {}, "must be a PodSecurityConfiguration of pod-security.admission.config"),
        (pod_security(defaults={"enforce": "x"}), {}, "defaults.enforce: Invalid value"),
        (pod_security(defaults={"enforce-version": "1"}), {}, "defaults.enforce-version: Invalid value"),
        (pod_security(defaults={"enforced": "baseline"}), {}, "enforced"),
        (pod_security(exemptions={"namespaces": ["A"]}), {}, "exemptions.namespaces[0]: Invalid value"),
        (pod_security(exemptions={"usernames": ["a", "a"]}), {}, 'exemptions.usernames[1]: Duplicate value: "a"'),
        (pod_security(exemptions={"runtimeClasses": [""]}), {}, "exemptions.runtimeClasses[0]: Invalid value"),
        (None, {}, "plugins[0]: must have either a path or a configuration"),
        (None, {"path": "missing.yaml"}, "missing.yaml: No such file"),
        (pod_security(), {"name": "Other"}, "plugins[0].name: only PodSecurity takes a configuration, not 'Other'"),
    ],
)
def test_faults_of_the_file_are_named(
    tmp_path: Path, configuration: dict[str, Any] | None, plugin: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        configured(tmp_path, configuration, **plugin)
