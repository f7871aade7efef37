"""The descriptions that ``kubectl explain`` prints: they belong to something, are short, and cover the main kinds."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from apimachinery.schema import descriptions, openapi, openapi_v2
from apimachinery.schema.definitions import GVK, definitions, target
from apimachinery.schema.openapi import OpenAPIResource

BY_SHORT = {descriptions.short_name(name): name for name in definitions()}
DEFINITIONS = {short: definitions()[name] for short, name in BY_SHORT.items()}
WORDS = descriptions.load()

# covered whole, with all that they refer to, but for the volumes that no node mounts
MAIN_KINDS = (
    "core.v1.ConfigMap", "core.v1.Endpoints", "core.v1.Event", "core.v1.LimitRange", "core.v1.Namespace",
    "core.v1.PersistentVolumeClaim", "core.v1.Pod", "core.v1.PodTemplate", "core.v1.ReplicationController",
    "core.v1.ResourceQuota", "core.v1.Secret", "core.v1.Service", "core.v1.ServiceAccount",
    "apps.v1.DaemonSet", "apps.v1.Deployment", "apps.v1.ReplicaSet", "apps.v1.StatefulSet",
    "autoscaling.v1.HorizontalPodAutoscaler", "autoscaling.v1.Scale", "batch.v1.CronJob", "batch.v1.Job",
    "coordination.v1.Lease", "discovery.v1.EndpointSlice", "events.v1.Event", "meta.v1.Status",
    "networking.v1.Ingress", "networking.v1.NetworkPolicy", "policy.v1.Eviction", "policy.v1.PodDisruptionBudget",
    "rbac.v1.ClusterRole", "rbac.v1.ClusterRoleBinding", "rbac.v1.Role", "rbac.v1.RoleBinding",
    "scheduling.v1.PriorityClass", "storage.v1.StorageClass",
)  # fmt: skip
# covered themselves, though not all that they refer to
COVERED = (
    "apiextensions.v1.CustomResourceDefinition", "apiextensions.v1.CustomResourceDefinitionNames",
    "apiextensions.v1.CustomResourceDefinitionSpec", "apiextensions.v1.CustomResourceDefinitionStatus",
    "apiextensions.v1.CustomResourceDefinitionVersion", "autoscaling.v2.HorizontalPodAutoscaler",
    "autoscaling.v2.HorizontalPodAutoscalerSpec", "autoscaling.v2.HorizontalPodAutoscalerStatus",
    "autoscaling.v2.MetricSpec", "core.v1.Node", "core.v1.NodeSpec", "core.v1.NodeStatus", "core.v1.NodeSystemInfo",
    "core.v1.PersistentVolume", "core.v1.PersistentVolumeSpec", "core.v1.PersistentVolumeStatus", "core.v1.PodList",
    "meta.v1.DeleteOptions", "networking.v1.IngressClass",
)  # fmt: skip
LEFT_OUT = {
    f"core.v1.{name}"
    for name in (
        "AWSElasticBlockStoreVolumeSource", "AzureDiskVolumeSource", "AzureFileVolumeSource", "CephFSVolumeSource",
        "CinderVolumeSource", "ClusterTrustBundleProjection", "FCVolumeSource", "FlexVolumeSource",
        "FlockerVolumeSource", "GCEPersistentDiskVolumeSource", "GitRepoVolumeSource", "GlusterfsVolumeSource",
        "PhotonPersistentDiskVolumeSource", "PodCertificateProjection", "PortworxVolumeSource",
        "QuobyteVolumeSource", "RBDVolumeSource", "ScaleIOVolumeSource", "StorageOSVolumeSource",
        "VsphereVirtualDiskVolumeSource",
        # devices and claims on them
        "ContainerExtendedResourceRequest", "ImageVolumeStatus", "NodeAllocatableResourceClaimStatus",
        "PodExtendedResourceClaimStatus", "ResourceHealth", "ResourceStatus", "VolumeStatus",
    )
} | {"meta.v1.ShardInfo"}  # fmt: skip


def texts() -> Iterator[tuple[str, str]]:
    for section in (WORDS.common, WORDS.definitions):
        for name, words in section.items():
            for field, text in words.items():
                yield f"{name} {field}", text


def referred(name: str) -> set[str]:
    """The definition and all that it refers to, by short name."""
    names: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in names and current not in LEFT_OUT:
            names.add(current)
            waiting += [
                descriptions.short_name(ref) for ref in openapi._references(DEFINITIONS[current], "#/definitions/")
            ]
    return names


def missing(short: str) -> Iterator[str]:
    """Fields without words; the kind itself too."""
    described = WORDS.described(BY_SHORT[short], DEFINITIONS[short])
    if GVK in described and "description" not in described:
        yield short
    yield from (
        f"{short} {key}" for key, field in described.get("properties", {}).items() if "description" not in field
    )


def test_short_names_tell_every_definition_apart() -> None:
    assert len(DEFINITIONS) == len(definitions())


def test_every_name_exists() -> None:
    names = set(WORDS.definitions) | set(WORDS.like) | LEFT_OUT
    assert names <= set(DEFINITIONS)
    assert set(WORDS.like.values()) <= set(WORDS.definitions)
    for name, words in WORDS.definitions.items():
        fields = set(DEFINITIONS[name].get("properties", ()))
        sharing = [sharer for sharer, source in WORDS.like.items() if source == name]
        fields.update(*(DEFINITIONS[sharer]["properties"] for sharer in sharing))
        assert set(words) - {""} <= fields, name


def test_every_text_is_a_short_sentence() -> None:
    for where, text in texts():
        assert text.endswith("."), where
        assert len(text) <= 200, (where, len(text))
        assert text[0].isupper() or text[0] in "$/", where
        assert text == " ".join(text.split()), where


@pytest.mark.parametrize("kind", MAIN_KINDS)
def test_main_kinds_are_covered_whole(kind: str) -> None:
    assert [field for short in sorted(referred(kind)) for field in missing(short)] == []


@pytest.mark.parametrize("name", COVERED)
def test_other_kinds_are_covered(name: str) -> None:
    assert list(missing(name)) == []


def test_no_field_says_what_its_type_says() -> None:
    """``kubectl explain`` prints one below the other."""
    for name, definition in definitions().items():
        for field, field_definition in WORDS.described(name, definition).get("properties", {}).items():
            if referred_name := target(field_definition) or target(field_definition.get("items", {})):
                own = WORDS.described(referred_name, definitions()[referred_name]).get("description")
                assert own is None or field_definition.get("description") != own, f"{name} {field}"


def test_the_definitions_themselves_stay_without_words() -> None:
    """Daemons keep them in memory; only documents carry the words."""
    openapi_v2.document([])
    assert b'"description":"' not in msgspec.json.encode(definitions())


@pytest.fixture(scope="module")
def schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of version 3 and of version 2."""
    rows = [OpenAPIResource("pods", "Pod", True, ("get", "list", "create"))]
    return (
        openapi.document("", "v1", rows)["components"]["schemas"],
        openapi_v2.document([("", "v1", rows)])["definitions"],
    )


@pytest.mark.parametrize("version", [0, 1], ids=["v3", "v2"])
def test_documents_carry_them(schemas: tuple[dict[str, Any], dict[str, Any]], version: int) -> None:
    pod = schemas[version]["io.k8s.api.core.v1.Pod"]
    assert pod["description"] == WORDS.definitions["core.v1.Pod"][""]
    assert pod["properties"]["spec"]["description"] == WORDS.common["kind"]["spec"]
    spec = schemas[version]["io.k8s.api.core.v1.PodSpec"]
    assert spec["properties"]["containers"]["description"] == WORDS.definitions["core.v1.PodSpec"]["containers"]
    pods = schemas[version]["io.k8s.api.core.v1.PodList"]
    assert pods["properties"]["items"]["description"] == WORDS.common["List"]["items"]


def test_a_reference_keeps_its_words_beside_it(schemas: tuple[dict[str, Any], dict[str, Any]]) -> None:
    newer, older = (version["io.k8s.api.core.v1.Pod"]["properties"]["spec"] for version in schemas)
    assert newer["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert "$ref" not in newer
    assert older["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"


def test_a_definition_like_another_takes_its_words_but_not_its_own_description() -> None:
    described = WORDS.described("io.k8s.api.core.v1.EphemeralContainer", DEFINITIONS["core.v1.EphemeralContainer"])
    container = WORDS.definitions["core.v1.Container"]
    assert described["properties"]["command"]["description"] == container["command"]
    assert described["properties"]["ports"]["description"] != container["ports"]
    assert described["description"] not in container.values()
