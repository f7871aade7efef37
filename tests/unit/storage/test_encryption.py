"""What etcd holds of an encrypted resource, and the file that says which are."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.storage.encryption import (
    NO_ENCRYPTION,
    AesGcm,
    Encryption,
    Identity,
    Rule,
    Unreadable,
    read_configuration,
)

SECRET, OTHER = "/registry/core/secrets/default/password", "/registry/core/secrets/default/other"
OLD, NEW = {"old": b"1" * 32}, {"new": b"2" * 32}


def encryption(*providers: AesGcm | Identity, resources: tuple[str, ...] = ("secrets",)) -> Encryption:
    return Encryption([Rule(frozenset(resources), providers)])


def test_a_sealed_value_says_nothing_and_is_opened_again() -> None:
    sealing = encryption(AesGcm(NEW))
    sealed = sealing.seal(SECRET, b"swordfish")
    assert sealed.startswith(b"k8s:enc:aesgcm:v1:new:")
    assert b"swordfish" not in sealed
    assert sealing.open(SECRET, sealed) == (b"swordfish", False)


def test_the_same_value_is_sealed_differently_each_time() -> None:
    sealing = encryption(AesGcm(NEW))
    assert sealing.seal(SECRET, b"swordfish") != sealing.seal(SECRET, b"swordfish")


def test_a_value_moved_to_another_key_of_etcd_is_not_opened() -> None:
    sealing = encryption(AesGcm(NEW))
    with pytest.raises(Unreadable):
        sealing.open(OTHER, sealing.seal(SECRET, b"swordfish"))


@pytest.mark.parametrize("damage", [lambda sealed: sealed[:-1], lambda sealed: sealed[:30], lambda sealed: sealed[:12]])
def test_a_damaged_value_is_not_opened(damage: Any) -> None:
    sealing = encryption(AesGcm(NEW), Identity())
    with pytest.raises(Unreadable):
        sealing.open(SECRET, damage(sealing.seal(SECRET, b"swordfish")))


def test_what_an_older_key_or_no_key_sealed_is_opened_and_stale() -> None:
    by_old = encryption(AesGcm(OLD)).seal(SECRET, b"swordfish")
    assert encryption(AesGcm({**NEW, **OLD})).open(SECRET, by_old) == (b"swordfish", True)
    assert encryption(AesGcm(NEW), AesGcm(OLD), Identity()).open(SECRET, b"{}") == (b"{}", True)


def test_a_key_that_is_gone_leaves_its_values_closed() -> None:
    with pytest.raises(Unreadable, match="a key that is not configured"):
        encryption(AesGcm(NEW), Identity()).open(SECRET, encryption(AesGcm(OLD)).seal(SECRET, b"swordfish"))


def test_without_a_configuration_sealed_values_are_not_taken_for_objects() -> None:
    with pytest.raises(Unreadable):
        NO_ENCRYPTION.open(SECRET, encryption(AesGcm(OLD)).seal(SECRET, b"swordfish"))


@pytest.mark.parametrize(
    ("named", "key", "is_sealed"),
    [
        ("secrets", SECRET, True),
        ("configmaps", SECRET, False),
        ("*.", SECRET, True),
        ("*.apps", "/registry/apps/deployments/default/web", True),
        ("deployments.apps", "/registry/apps/deployments/default/web", True),
        ("deployments", "/registry/apps/deployments/default/web", False),
        ("*.", "/registry/apps/deployments/default/web", False),
        ("*.*", "/registry/apps/deployments/default/web", True),
        ("*.*", "/registry/core/nodes/-/node-1", True),
    ],
)
def test_a_rule_is_about_the_resources_that_it_names(named: str, key: str, is_sealed: bool) -> None:
    sealed = encryption(AesGcm(NEW), resources=(named,)).seal(key, b"{}")
    assert (sealed != b"{}") is is_sealed


def test_the_first_rule_about_a_resource_counts() -> None:
    rules = [Rule(frozenset({"secrets"}), [Identity()]), Rule(frozenset({"*.*"}), [AesGcm(NEW)])]
    assert Encryption(rules).seal(SECRET, b"{}") == b"{}"


def configuration(**key: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [{"name": "key1", **key}]}}, {"identity": {}}]}
        ],
    }


def written(folder: Path, document: object) -> Path:
    path = folder / "encryption.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_file_of_kubernetes_documentation_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, configuration(secret=base64.b64encode(b"3" * 32).decode()))
    assert read_configuration(path).seal(SECRET, b"{}").startswith(b"k8s:enc:aesgcm:v1:key1:")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {**configuration(secret="MzMzMzMzMzMzMzMzMzMzMw=="), "kind": "KubeletConfiguration"},
        {**configuration(secret="MzMzMzMzMzMzMzMzMzMzMw=="), "resources": []},
        configuration(secret="short"),
        configuration(secret="c2hvcnQ="),
        configuration(secret="not base64!"),
        configuration(secret="MzMzMzMzMzMzMzMzMzMzMw==", name="with:colon"),
        configuration(),
    ],
)
def test_a_file_that_cannot_be_followed_is_refused_without_showing_keys(tmp_path: Path, document: Any) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  # a ValidationError is one, and its text differs
        read_configuration(written(tmp_path, document))
    assert "MzMz" not in str(refusal.value)
    assert "short" not in str(refusal.value)
