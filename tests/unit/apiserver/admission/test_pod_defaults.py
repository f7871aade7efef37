"""What plugins fill into pods, and judge of mirror pods."""

from typing import Any

import pytest

from apimachinery import codec, errors
from apimachinery.core.well_known import MIRROR_ANNOTATION
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod
from apimachinery.types.core_v1 import ServiceAccount as Account
from apimachinery.types.node_v1 import RuntimeClass as NodeRuntimeClass
from apiserver.admission.classes import RuntimeClass
from apiserver.admission.mountable_secrets import ANNOTATION
from apiserver.admission.plugins import DefaultTolerationSeconds
from apiserver.admission.service_account import ServiceAccount
from apiserver.request import Attributes, User


class Only:
    """A store that holds one object under every name."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    async def find(self, key: Key) -> Any:
        return self._obj


CREATE = Attributes(User("ann"), "create", "", resource="pods", namespace="default")


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    containers = [{"name": "c", "image": "i"}]
    document = {
        "metadata": {"name": "p", "namespace": "default", "annotations": annotations or {}},
        "spec": {"containers": containers, **spec},
    }
    return codec.from_builtins(document, Pod)


def tolerated(subject: Pod) -> list[tuple[str, int | None]]:
    return [(toleration.key or "", toleration.toleration_seconds) for toleration in subject.spec.tolerations or ()]


async def test_a_pod_stays_as_long_as_the_server_says_unless_it_says_itself() -> None:
    not_ready, unreachable = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
    plugin = DefaultTolerationSeconds(20, 30)
    silent, outspoken, tolerant = (
        pod(),
        pod(tolerations=[{"key": unreachable, "operator": "Exists", "tolerationSeconds": 5}]),
        pod(tolerations=[{"operator": "Exists"}]),
    )
    for subject in (silent, outspoken, tolerant):
        await plugin.admit(CREATE, subject, None)
    assert tolerated(silent) == [(not_ready, 20), (unreachable, 30)]
    assert tolerated(outspoken) == [(unreachable, 5), (not_ready, 20)]
    assert tolerated(tolerant) == [("", None)]


def runtime_class(**fields: Any) -> RuntimeClass:
    return RuntimeClass(Only(codec.from_builtins({"metadata": {"name": "kata"}, **fields}, NodeRuntimeClass)))  # type: ignore[arg-type]


async def test_a_pod_gets_overhead_and_place_of_its_runtime_class() -> None:
    tolerations = [{"key": "kata", "operator": "Exists"}]
    plugin = runtime_class(
        overhead={"podFixed": {"cpu": "250m"}}, scheduling={"nodeSelector": {"kata": "1"}, "tolerations": tolerations}
    )
    subject = pod(runtimeClassName="kata", nodeSelector={"zone": "a"})
    await plugin.admit(CREATE, subject, None)
    assert subject.spec.overhead == {"cpu": "250m"}
    assert subject.spec.node_selector == {"zone": "a", "kata": "1"}
    assert [toleration.key for toleration in subject.spec.tolerations or ()] == ["kata"]


@pytest.mark.parametrize(
    ("fields", "spec", "why"),
    [
        ({"overhead": {"podFixed": {"cpu": "1"}}}, {"overhead": {"cpu": "2"}},
         "Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        ({}, {"overhead": {"cpu": "2"}}, "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"scheduling": {"nodeSelector": {"a": "1"}}}, {"nodeSelector": {"a": "2"}},
         "conflict: runtimeClass.scheduling.nodeSelector[a] = 1; pod.spec.nodeSelector[a] = 2"),
    ],
)  # fmt: skip
async def test_a_pod_that_contradicts_its_runtime_class(fields: Any, spec: Any, why: str) -> None:
    with pytest.raises(errors.Forbidden) as refusal:
        await runtime_class(**fields).admit(CREATE, pod(runtimeClassName="kata", **spec), None)
    assert refusal.value.message == f'pods "p" is forbidden: pod rejected: {why}'


async def judged(subject: Pod, subresource: str = "", old: Pod | None = None) -> str:
    document = {"metadata": {"name": "builder", "annotations": {ANNOTATION: "true"}}}
    plugin = ServiceAccount(Only(codec.from_builtins(document, Account)))  # type: ignore[arg-type]
    attributes = Attributes(
        User("ann"), "update" if old else "create", "", resource="pods", subresource=subresource, namespace="default"
    )
    try:
        await plugin.validate(attributes, subject, old)
    except errors.Forbidden as refusal:
        return refusal.message.removeprefix('pods "p" is forbidden: ')
    return ""


MIRROR = {MIRROR_ANNOTATION: "hash"}
SECRET = [{"secretRef": {"name": "s"}}]


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        (pod(MIRROR), ""),
        (pod(MIRROR, serviceAccountName="builder"), "a mirror pod may not reference service accounts"),
        (pod(MIRROR, imagePullSecrets=[{"name": "s"}]), "a mirror pod may not reference secrets"),
        (
            pod(MIRROR, volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
        (pod(), "no service account specified for pod default/p"),
    ],
)
async def test_a_mirror_pod_made_by_hand_gets_no_account_and_no_secret(subject: Pod, fault: str) -> None:
    assert await judged(subject) == fault


async def test_secrets_are_looked_at_when_containers_come_and_not_at_other_updates() -> None:
    debugger = [{"name": "d", "image": "i", "envFrom": SECRET}]
    before, after = pod(serviceAccountName="builder"), pod(serviceAccountName="builder", ephemeralContainers=debugger)
    assert "ephemeral container d with envFrom" in await judged(after, "ephemeralcontainers", before)
    assert await judged(after, "", before) == ""
    assert await judged(after, "status", before) == ""
