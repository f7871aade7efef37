"""Which secrets pods may name."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types.core_v1 import Pod, ServiceAccount
from apiserver.admission.service_account import _fault_of_mirror, _unlisted_secrets

ACCOUNT = codec.from_builtins(
    {"metadata": {"name": "sa"}, "secrets": [{"name": "listed"}], "imagePullSecrets": [{"name": "pull"}]},
    ServiceAccount,
)
WHY = "is not allowed because service account sa does not reference that"


def pod(**spec: Any) -> Pod:
    return codec.from_builtins({"metadata": {"name": "p"}, "spec": spec}, Pod)


def container(secret: str, name: str = "c") -> dict[str, Any]:
    source = {"secretKeyRef": {"name": secret, "key": "k"}}
    return {"name": name, "env": [{"name": "X", "value": "1"}, {"name": "E", "valueFrom": source}]}


def bulk(secret: str, name: str = "c") -> dict[str, Any]:
    return {"name": name, "envFrom": [{"configMapRef": {"name": "any"}}, {"secretRef": {"name": secret}}]}


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (
            pod(volumes=[{"name": "v", "secret": {"secretName": "other"}}]),
            f'volume with secret.secretName="other" {WHY} secret',
        ),
        (
            pod(containers=[container("listed"), container("other", "d")]),
            f'container d with envVar E referencing secret.secretName="other" {WHY} secret',
        ),
        (
            pod(initContainers=[bulk("other")]),
            f'init container c with envFrom referencing secret.secretName="other" {WHY} secret',
        ),
        (
            pod(ephemeralContainers=[container("other")]),
            f'ephemeral container c with envVar E referencing secret.secretName="other" {WHY} secret',
        ),
        (
            pod(imagePullSecrets=[{"name": "pull"}, {"name": "listed"}]),
            f'imagePullSecrets[1].name="listed" {WHY} imagePullSecret',
        ),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "other"}}]}}]),
            f'volume with secret.secretName="other" {WHY} secret',
        ),
    ],
)
def test_a_secret_that_the_account_does_not_list_is_named(named: Pod, says: str) -> None:
    assert next(_unlisted_secrets(named, ACCOUNT)) == says


def test_listed_secrets_may_be_named() -> None:
    allowed = pod(
        volumes=[{"name": "v", "secret": {"secretName": "listed"}}, {"name": "w", "emptyDir": {}}],
        containers=[container("listed"), bulk("listed", "d")],
        imagePullSecrets=[{"name": "pull"}],
    )
    assert list(_unlisted_secrets(allowed, ACCOUNT)) == []


@pytest.mark.parametrize(
    ("mirror", "fault"),
    [
        (pod(serviceAccountName="sa"), "a mirror pod may not reference service accounts"),
        (pod(containers=[container("s")]), "a mirror pod may not reference secrets"),
        (pod(containers=[bulk("s")]), "a mirror pod may not reference secrets"),
        (pod(imagePullSecrets=[{"name": "s"}]), "a mirror pod may not reference secrets"),
        (
            pod(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
        (pod(volumes=[{"name": "v", "configMap": {"name": "m"}}], containers=[{"name": "c"}]), ""),
    ],
)
def test_a_mirror_pod_reaches_no_secret_by_any_way(mirror: Pod, fault: str) -> None:
    assert _fault_of_mirror(mirror) == fault
