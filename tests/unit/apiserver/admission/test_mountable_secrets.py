"""Which secrets a pod may name whose service account enforces that."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types.core_v1 import Pod, ServiceAccount
from apiserver.admission.mountable_secrets import (
    ANNOTATION,
    are_enforced,
    fault_of_ephemeral_containers,
    fault_of_pod,
)


def account(annotation: str = "true") -> ServiceAccount:
    document = {
        "metadata": {"name": "builder", "annotations": {ANNOTATION: annotation}},
        "secrets": [{"name": "own"}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    return codec.from_builtins(document, ServiceAccount)


def container(secret: str = "", *, in_bulk: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "c", "image": "i"}
    if secret and in_bulk:
        made["envFrom"] = [{"secretRef": {"name": secret}}]
    elif secret:
        made["env"] = [{"name": "V", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]
    return made


def pod(**spec: Any) -> Pod:
    return codec.from_builtins({"spec": {"containers": [container()], **spec}}, Pod)


SUFFIX = "is not allowed because service account builder does not reference that"


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        (pod(), ""),
        (pod(volumes=[{"name": "v", "secret": {"secretName": "own"}}], imagePullSecrets=[{"name": "pull"}]), ""),
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "x"}}]),
            f'volume with secret.secretName="x" {SUFFIX} secret',
        ),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]),
            f'volume with secret.secretName="x" {SUFFIX} secret',
        ),
        (
            pod(initContainers=[container("x")]),
            f'init container c with envVar V referencing secret.secretName="x" {SUFFIX} secret',
        ),
        (
            pod(containers=[container("x", in_bulk=True)]),
            f'container c with envFrom referencing secret.secretName="x" {SUFFIX} secret',
        ),
        (pod(imagePullSecrets=[{"name": "own"}]), f'imagePullSecrets[0].name="own" {SUFFIX} imagePullSecret'),
    ],
)
def test_a_pod_names_only_what_its_account_lists(subject: Pod, fault: str) -> None:
    assert fault_of_pod(subject, account()) == fault


@pytest.mark.parametrize(("secret", "is_allowed"), [("own", True), ("x", False)])
def test_containers_that_are_added_later_are_held_to_the_same(secret: str, is_allowed: bool) -> None:
    subject = pod(ephemeralContainers=[container(secret, in_bulk=True)])
    assert (fault_of_ephemeral_containers(subject, account()) == "") == is_allowed


@pytest.mark.parametrize(("annotation", "enforced"), [("true", True), ("1", True), ("yes", False), ("false", False)])
def test_which_accounts_enforce_it(annotation: str, enforced: bool) -> None:
    assert are_enforced(account(annotation)) == enforced
