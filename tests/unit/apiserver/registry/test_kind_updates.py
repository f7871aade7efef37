"""What an update may change of each kind, and what counts as a new generation."""

from collections.abc import Callable
from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types import core_v1
from tests.kinds import CONTAINER
from tests.unit.apiserver.registry.rows import body, made, prepared, row, update_faults


def setting(path: str, value: Any) -> Callable[[Any], None]:
    """A change of one attribute."""

    def change(obj: Any) -> None:
        *steps, last = path.split(".")
        for step in steps:
            obj = obj[int(step)] if step.isdecimal() else getattr(obj, step)
        setattr(obj, last, value)

    return change


IMMUTABLE: list[tuple[str, Callable[[Any], None], set[tuple[str, str]]]] = [
    ("deployments", setting("spec.replicas", 5), set()),
    ("deployments", setting("spec.selector.match_labels", {}), {
        ("spec.selector", "Required"), ("spec.selector", "Invalid"), ("spec.template.metadata.labels", "Invalid"),
    }),
    ("replicasets", setting("spec.template.metadata.labels", {"app": "a", "more": "1"}), set()),
    ("controllerrevisions", setting("data", {"b": 2}), {("data", "Invalid")}),
    ("controllerrevisions", setting("revision", 7), set()),
    ("statefulsets", setting("spec.service_name", "b"), {("spec", "Forbidden")}),
    ("statefulsets", setting("spec.replicas", 3), set()),
    ("statefulsets", setting("spec.min_ready_seconds", 3), set()),
    ("jobs", setting("spec.parallelism", 3), set()),
    ("jobs", setting("spec.completions", 3), {("spec.completions", "Invalid")}),
    ("jobs", setting("spec.template.spec.containers.0.image", "other"), {("spec.template", "Invalid")}),
    ("jobs", setting("spec.completion_mode", "Indexed"), {("spec.completionMode", "Invalid")}),
    ("jobs", setting("spec.suspend", True), set()),
    ("persistentvolumes", setting("spec.host_path.path", "/other"), {("spec", "Forbidden")}),
    ("persistentvolumes", setting("spec.volume_mode", "Block"), {("spec.volumeMode", "Invalid")}),
    ("persistentvolumes", setting("spec.persistent_volume_reclaim_policy", "Delete"), set()),
    ("persistentvolumeclaims", setting("spec.volume_name", "v"), set()),
    ("persistentvolumeclaims", setting("spec.storage_class_name", "c"), {("spec", "Forbidden")}),
    ("persistentvolumeclaims", setting("spec.resources.requests", {"storage": "2Gi"}), {("spec", "Forbidden")}),
    ("resourcequotas", setting("spec.scopes", ["BestEffort"]), {("spec.scopes", "Invalid")}),
    ("resourcequotas", setting("spec.hard", {"pods": "9"}), set()),
    ("endpointslices", setting("address_type", "FQDN"), {("addressType", "Invalid")}),
    ("ingressclasses", setting("spec.controller", "example.com/d"), {("spec.controller", "Invalid")}),
    ("rolebindings", setting("role_ref.name", "b"), {("roleRef", "Invalid")}),
    ("rolebindings", setting("subjects", None), set()),
    ("priorityclasses", setting("value", 6), {("value", "Forbidden")}),
    ("priorityclasses", setting("preemption_policy", "Never"), {("preemptionPolicy", "Invalid")}),
    ("storageclasses", setting("provisioner", "x.y/z"), {("provisioner", "Forbidden")}),
    ("storageclasses", setting("volume_binding_mode", "WaitForFirstConsumer"), {("volumeBindingMode", "Invalid")}),
    ("storageclasses", setting("allow_volume_expansion", True), set()),
    ("volumeattachments", setting("spec.node_name", "m"), {("spec", "Invalid")}),
    ("volumeattributesclasses", setting("parameters", {"a": "2"}), {("parameters", "Invalid")}),
    ("csidrivers", setting("spec.attach_required", False), {("spec.attachRequired", "Invalid")}),
    ("csidrivers", setting("spec.requires_republish", True), set()),
    ("csinodes", setting("spec.drivers.0.node_id", "m"), {("spec.drivers[0]", "Invalid")}),
    ("csistoragecapacities", setting("storage_class_name", "b"), {("storageClassName", "Invalid")}),
    ("runtimeclasses", setting("handler", "b"), {("handler", "Invalid")}),
    ("ipaddresses", setting("spec.parent_ref.name", "b"), {("spec.parentRef", "Invalid")}),
    ("customresourcedefinitions", setting("spec.group", "b.example.com"), {
        ("spec.group", "Invalid"), ("metadata.name", "Invalid"),
    }),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "change", "expected"), IMMUTABLE)
def test_what_may_change(plural: str, change: Callable[[Any], None], expected: set[tuple[str, str]]) -> None:
    assert update_faults(plural, change) == expected


def test_a_suspended_jobs_pods_may_still_be_moved() -> None:
    suspended = body("jobs", spec={"suspend": True})
    move = setting("spec.template.spec.node_selector", {"disk": "fast"})
    assert update_faults("jobs", move, **suspended) == set()
    assert update_faults("jobs", move) == {("spec.template", "Invalid")}


def test_a_bound_claim_may_grow_and_not_shrink() -> None:
    strategy, old = row("persistentvolumeclaims").strategy, prepared("persistentvolumeclaims")
    old.status.phase = "Bound"
    for size, expected in (("2Gi", []), ("500Mi", ["spec.resources.requests.storage"])):
        new = codec.copy(old)
        new.spec.resources.requests = {"storage": size}
        assert [fault.field for fault in strategy.validate_update(new, old)] == expected


def test_a_signing_request_never_changes_but_by_its_parts() -> None:
    strategy, old = row("certificatesigningrequests").strategy, prepared("certificatesigningrequests")
    new = codec.copy(old)
    new.spec.signer_name = "example.com/other"
    strategy.prepare_for_update(new, old)
    assert new.spec == old.spec


@pytest.mark.parametrize(("subresource", "expected"), [("approval", []), ("status", ["status.conditions"])])
def test_only_approval_decides(subresource: str, expected: list[str]) -> None:
    info = row("certificatesigningrequests")
    strategy, old = info.subresources[subresource].strategy, prepared("certificatesigningrequests")
    assert strategy is not None
    condition = type(old.status)(conditions=[]).conditions
    assert condition == []
    new = codec.copy(old)
    new.status = codec.from_builtins({"conditions": [{"type": "Approved", "status": "True"}]}, type(old.status))
    strategy.prepare_for_update(new, old)
    assert new.status.conditions[0].last_update_time
    assert [fault.field for fault in strategy.validate_update(new, old)] == expected


def test_conflicting_decisions_are_refused() -> None:
    strategy, old = (
        row("certificatesigningrequests").subresources["approval"].strategy,
        prepared("certificatesigningrequests"),
    )
    assert strategy is not None
    conditions = [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]
    new = codec.copy(old)
    new.status = codec.from_builtins({"conditions": conditions}, type(old.status))
    assert [fault.field for fault in strategy.validate_update(new, old)] == ["status.conditions"]


def test_a_slices_generation_counts_its_endpoints_and_labels() -> None:
    strategy, old = row("endpointslices").strategy, prepared("endpointslices")
    for change, counts in (
        (setting("endpoints.0.addresses", ["10.0.0.9"]), True),
        (setting("metadata.labels", {"a": "b"}), True),
        (setting("metadata.annotations", {"a": "b"}), False),
    ):
        new = codec.copy(old)
        change(new)
        assert (strategy.desired_state(new) != strategy.desired_state(old)) is counts


def test_negative_counts_are_no_status() -> None:
    strategy, old = row("deployments").subresources["status"].strategy, prepared("deployments")
    assert strategy is not None
    new = codec.copy(old)
    new.status.ready_replicas = -1
    assert [fault.field for fault in strategy.validate_update(new, old)] == ["status.readyReplicas"]


def test_ephemeral_containers_are_only_added() -> None:
    strategy = row("pods").subresources["ephemeralcontainers"].strategy
    assert strategy is not None
    old = core_v1.Pod(spec=core_v1.PodSpec(containers=[core_v1.Container(name="c", image="i")]))
    old.spec.ephemeral_containers = [core_v1.EphemeralContainer(name="e", image="i")]
    strategy.default(old)

    def faults_of(*containers: core_v1.EphemeralContainer) -> list[str]:
        new = codec.copy(old)
        new.spec.containers[0].image = "other"
        new.spec.ephemeral_containers = list(containers)
        strategy.default(new)
        strategy.prepare_for_update(new, old)
        assert new.spec.containers == old.spec.containers
        return [fault.field for fault in strategy.validate_update(new, old)]

    kept, added = old.spec.ephemeral_containers[0], core_v1.EphemeralContainer(name="f", image="i")
    assert faults_of(kept, added) == []
    assert faults_of(added) == ["spec.ephemeralContainers"]
    assert faults_of(core_v1.EphemeralContainer(name="e", image="j")) == ["spec.ephemeralContainers"]
    assert faults_of(kept, core_v1.EphemeralContainer(name="c")) == [
        "spec.ephemeralContainers[1].name", "spec.ephemeralContainers[1].image",
    ]  # fmt: skip


INIT = {"name": "init", "image": "i"}
SIDECAR = {"name": "side", "image": "i", "restartPolicy": "Always"}
ENDED, FAILED, RUNNING = {"terminated": {"exitCode": 0}}, {"terminated": {"exitCode": 1}}, {"running": {}}


@pytest.mark.parametrize(
    ("policy", "field", "name", "before", "after", "is_valid"),
    [
        ("Never", "containerStatuses", "c", ENDED, RUNNING, False),
        ("Never", "containerStatuses", "c", FAILED, {"waiting": {}}, False),
        ("Never", "containerStatuses", "c", FAILED, ENDED, True),
        ("Never", "containerStatuses", "c", RUNNING, {"waiting": {}}, True),
        ("OnFailure", "containerStatuses", "c", ENDED, RUNNING, False),
        ("OnFailure", "containerStatuses", "c", FAILED, RUNNING, True),
        ("Always", "containerStatuses", "c", ENDED, RUNNING, True),
        ("Never", "initContainerStatuses", "init", ENDED, RUNNING, False),
        ("OnFailure", "initContainerStatuses", "init", FAILED, RUNNING, True),
        ("Always", "initContainerStatuses", "init", ENDED, RUNNING, True),
        ("Never", "initContainerStatuses", "side", ENDED, RUNNING, True),
        ("Always", "ephemeralContainerStatuses", "debug", FAILED, RUNNING, False),
    ],
)
def test_a_container_that_has_ended_for_good_stays_so(
    policy: str, field: str, name: str, before: dict[str, Any], after: dict[str, Any], is_valid: bool
) -> None:
    spec = {"restartPolicy": policy, "containers": [CONTAINER], "initContainers": [INIT, SIDECAR]}
    strategy, old = row("pods").subresources["status"].strategy, made("pods", spec=spec)
    old.spec.ephemeral_containers = [core_v1.EphemeralContainer(name="debug", image="i")]
    new = codec.copy(old)
    for pod, state in ((old, before), (new, after)):
        pod.status = codec.from_builtins(
            {"phase": "Running", field: [{"name": name, "state": state, "ready": False, "restartCount": 0,
                                          "image": "i", "imageID": ""}]}, core_v1.PodStatus
        )  # fmt: skip
    faults = [(fault.field, fault.reason) for fault in strategy.validate_update(new, old)]
    assert faults == ([] if is_valid else [(f"status.{field}[0].state", "FieldValueForbidden")])
