"""Which volume a claim gets, as a table."""

from typing import Any

import pytest

from apimachinery.core.persistent_volumes import best_match, mismatch
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta

HERE = v1.ObjectReference(namespace="ns", name="c")


def volume(name: str, size: str = "1Gi", phase: str = "Available", **spec: Any) -> v1.PersistentVolume:
    labels = spec.pop("labels", None)
    spec.setdefault("access_modes", ["ReadWriteOnce"])
    result = v1.PersistentVolume(metadata=ObjectMeta(name=name, labels=labels))
    result.spec = v1.PersistentVolumeSpec(capacity={"storage": size}, **spec)
    result.status.phase = phase
    return result


def claim(size: str = "1Gi", **spec: Any) -> v1.PersistentVolumeClaim:
    spec.setdefault("access_modes", ["ReadWriteOnce"])
    result = v1.PersistentVolumeClaim(metadata=ObjectMeta(name="c", namespace="ns", uid="u"))
    result.spec = v1.PersistentVolumeClaimSpec(
        resources=v1.VolumeResourceRequirements(requests={"storage": size}), **spec
    )
    return result


@pytest.mark.parametrize(
    ("pvc", "volumes", "expected"),
    [
        pytest.param(claim(), [volume("big", "5Gi"), volume("fit", "2Gi")], "fit", id="the smallest that fits"),
        pytest.param(claim("3Gi"), [volume("small")], None, id="none is big enough"),
        pytest.param(
            claim(access_modes=["ReadWriteMany"]),
            [volume("one"), volume("many", "9Gi", access_modes=["ReadWriteOnce", "ReadWriteMany"])],
            "many",
            id="access modes",
        ),
        pytest.param(
            claim(storage_class_name="fast"),
            [volume("none"), volume("fast", storage_class_name="fast")],
            "fast",
            id="storage class",
        ),
        pytest.param(claim(), [volume("fast", storage_class_name="fast")], None, id="no class means none"),
        pytest.param(
            claim(selector=LabelSelector(match_labels={"disk": "ssd"})),
            [volume("hdd", labels={"disk": "hdd"}), volume("ssd", "8Gi", labels={"disk": "ssd"})],
            "ssd",
            id="selector",
        ),
        pytest.param(claim(), [volume("taken", phase="Bound"), volume("old", phase="Released")], None, id="not free"),
        pytest.param(claim(volume_mode="Block"), [volume("files")], None, id="volume mode"),
        pytest.param(
            claim(),
            [volume("fit"), volume("reserved", "50Gi", claim_ref=HERE)],
            "reserved",
            id="a reserved one comes first",
        ),
        pytest.param(
            claim(),
            [volume("others", claim_ref=v1.ObjectReference(namespace="ns", name="other"))],
            None,
            id="reserved for another",
        ),
        pytest.param(
            claim(),
            [volume("former", claim_ref=v1.ObjectReference(namespace="ns", name="c", uid="before"))],
            None,
            id="reserved for an older claim of the name",
        ),
    ],
)
def test_best_match(pvc: v1.PersistentVolumeClaim, volumes: list[v1.PersistentVolume], expected: str | None) -> None:
    for order in (volumes, volumes[::-1]):
        match = best_match(pvc, order)
        assert (match.metadata.name if match else None) == expected


def test_a_claim_that_waits_for_its_pod_gets_only_what_is_reserved_for_it() -> None:
    free, reserved = volume("free"), volume("reserved", claim_ref=HERE)
    assert best_match(claim(), [free], reserved_only=True) is None
    assert best_match(claim(), [free, reserved], reserved_only=True) is reserved


def test_why_a_volume_that_the_claim_names_does_not_match() -> None:
    assert mismatch(volume("a"), claim("2Gi")) == "requested PV is too small"
    assert mismatch(volume("a", storage_class_name="x"), claim()) == "storageClassName does not match"
    assert mismatch(volume("a"), claim()) == ""
