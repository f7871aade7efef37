"""Pods: containers that share a context, bound to a node once."""

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from apimachinery import codec, meta, names
from apimachinery.core import containers
from apimachinery.core.pods import is_mirror, is_terminal
from apimachinery.core.qos import qos_class
from apimachinery.core.well_known import MIRROR_ANNOTATION
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Pod, PodCondition, PodSpec, PodStatus, Toleration
from apiserver.registry.core.bindings import BindingSubresource
from apiserver.registry.core.pod_columns import COLUMNS
from apiserver.registry.core.pod_defaults import default_pod
from apiserver.registry.core.pod_validation import validate_spec
from apiserver.registry.core.pod_warnings import name_warnings, pod_warnings
from apiserver.registry.field_rules import one_of
from apiserver.registry.status_rules import STATUS, addresses
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Deletion, StatusStrategy, Strategy
from apiserver.registry.subresources import ConnectSubresource, ObjectSubresource, proxy

_SPEC: Final = Path("spec")
_MIRROR: Final = Path("metadata", "annotations").key(MIRROR_ANNOTATION)
PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


_GATED: Final = PodCondition(
    type="PodScheduled",
    status="False",
    reason="SchedulingGated",
    message="Scheduling is blocked due to non-empty scheduling gates",
)


class PodStrategy(Strategy[Pod]):
    returns_deleted = True
    counts_generations = True

    def default(self, obj: Pod) -> None:
        default_pod(obj.spec)

    def prepare_for_create(self, obj: Pod) -> None:
        # a quantity that cannot be read leaves the class open; validation refuses the pod
        try:
            obj.status = PodStatus(phase="Pending", qos_class=qos_class(obj.spec))
        except ValueError:
            obj.status = PodStatus(phase="Pending")
        if obj.spec.scheduling_gates:
            obj.status.conditions = [codec.copy(_GATED)]

    def prepare_for_update(self, obj: Pod, old: Pod) -> None:
        obj.status = old.status

    def warnings(self, obj: Pod) -> Iterator[str]:
        yield from name_warnings(obj.metadata.name, "the Pod's hostname")
        yield from pod_warnings(Path(), obj.metadata, obj.spec)

    def validate(self, obj: Pod) -> Iterator[FieldError]:
        # ephemeral containers are added, and validated, under a path of their own
        yield from validate_spec(_SPEC, structs.replace(obj.spec, ephemeral_containers=None))

    def validate_create(self, obj: Pod) -> Iterator[FieldError]:
        if obj.spec.ephemeral_containers:
            yield (_SPEC / "ephemeralContainers").forbidden("cannot be set on create")
        if is_mirror(obj) and not obj.spec.node_name:
            value = meta.annotations_of(obj)[MIRROR_ANNOTATION]
            yield _MIRROR.invalid(value, "must set spec.nodeName if mirror pod annotation is set")
        if obj.spec.scheduling_gates and obj.spec.node_name:
            yield (_SPEC / "nodeName").forbidden("cannot be set until all schedulingGates have been cleared")

    def validate_update(self, obj: Pod, old: Pod) -> Iterator[FieldError]:
        new, before = (meta.annotations_of(pod).get(MIRROR_ANNOTATION) for pod in (obj, old))
        if new != before:
            change = "add" if before is None else "remove or update"
            yield _MIRROR.forbidden(f"may not {change} mirror pod annotation")
        if obj.spec != old.spec:
            yield from _validate_spec_update(obj.spec, old.spec)

    def delete(self, obj: Pod, grace_seconds: int | None) -> Deletion:
        """A pod that does not run (any more) is removed at once; the others when their kubelet has stopped them."""
        grace = grace_seconds
        if grace is None:
            grace = obj.spec.termination_grace_period_seconds
        if grace is None or grace < 0:
            grace = 30 if grace is None else 1
        if not obj.spec.node_name or is_terminal(obj):
            grace = 0
        return Deletion(grace_seconds=grace, graceful=True)


_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _validate_spec_update(new: PodSpec, old: PodSpec) -> Iterator[FieldError]:
    for field, after, before in (
        ("containers", new.containers, old.containers),
        ("initContainers", new.init_containers or [], old.init_containers or []),
    ):
        if len(after) != len(before):
            yield (_SPEC / field).forbidden("pod updates may not add or remove containers")
            return
    if old.active_deadline_seconds is not None and (
        new.active_deadline_seconds is None or new.active_deadline_seconds > old.active_deadline_seconds
    ):
        yield (_SPEC / "activeDeadlineSeconds").invalid(
            new.active_deadline_seconds, "must be less than or equal to previous value"
        )
    untimed = [_untimed(toleration) for toleration in new.tolerations or []]
    if any(_untimed(toleration) not in untimed for toleration in old.tolerations or []):
        yield (_SPEC / "tolerations").forbidden("existing toleration can not be modified except its tolerationSeconds")
    if any(gate not in (old.scheduling_gates or ()) for gate in new.scheduling_gates or ()):
        yield (_SPEC / "schedulingGates").forbidden("only deletion is allowed, but found new scheduling gates")
    if _without_updatable(new, old) != old:
        yield _SPEC.forbidden(_UPDATABLE)


def _untimed(toleration: Toleration) -> Toleration:
    return structs.replace(toleration, toleration_seconds=None)


def _without_updatable(new: PodSpec, old: PodSpec) -> PodSpec:
    """The new spec with the old values of all fields that may change."""
    spec = codec.copy(new)
    for after, before in zip(spec.containers, old.containers, strict=True):
        after.image = before.image
    for after, before in zip(spec.init_containers or (), old.init_containers or (), strict=True):
        after.image = before.image
    spec.active_deadline_seconds = old.active_deadline_seconds
    spec.tolerations = old.tolerations
    spec.scheduling_gates = old.scheduling_gates
    if (old.termination_grace_period_seconds or 0) < 0 and spec.termination_grace_period_seconds == 1:
        spec.termination_grace_period_seconds = old.termination_grace_period_seconds
    return spec


class PodStatusStrategy(StatusStrategy[Pod]):
    def prepare_for_update(self, obj: Pod, old: Pod) -> None:
        super().prepare_for_update(obj, old)
        obj.status.qos_class = old.status.qos_class  # it follows from the spec; no kubelet decides it

    def validate_update(self, obj: Pod, old: Pod) -> Iterator[FieldError]:
        status = obj.status
        yield from super().validate_update(obj, old)
        yield from one_of(STATUS / "phase", status.phase, PHASES)
        yield from addresses(STATUS / "podIP", status.pod_ip, status.pod_ips)
        yield from addresses(STATUS / "hostIP", status.host_ip, status.host_ips)
        yield from _ends(obj, old)
        if status.nominated_node_name:
            yield from names.check(STATUS / "nominatedNodeName", status.nominated_node_name, names.dns_subdomain)


def _ends(obj: Pod, old: Pod) -> Iterator[FieldError]:
    """A container that is not started again after it has ended so stays in that state.

    Where containers are always started again, an init container that has succeeded runs once more in a new sandbox.
    """
    after, before = obj.status, old.status
    lists = [("ephemeralContainerStatuses", after.ephemeral_container_statuses, before.ephemeral_container_statuses)]
    if old.spec.restart_policy != "Always":
        lists += [
            ("containerStatuses", after.container_statuses, before.container_statuses),
            ("initContainerStatuses", after.init_container_statuses, before.init_container_statuses),
        ]
    for field, new_statuses, old_statuses in lists:
        now = {status.name: status for status in new_statuses or ()}
        for i, status in enumerate(old_statuses or ()):
            ended = status.state.terminated
            if ended is None or status.name not in now or now[status.name].state.terminated is not None:
                continue
            if not containers.restarts_after(old, status.name, ended.exit_code):
                yield ((STATUS / field)[i] / "state").forbidden("may not be transitioned to non-terminated state")


PODS = StoredResource(
    Pod,
    PodStrategy(),
    singular="pod",
    short_names=("po",),
    categories=("all",),
    columns=COLUMNS,
    fields={
        "spec.nodeName": lambda pod: pod.spec.node_name or "",
        "spec.restartPolicy": lambda pod: pod.spec.restart_policy or "",
        "spec.schedulerName": lambda pod: pod.spec.scheduler_name or "",
        "spec.serviceAccountName": lambda pod: pod.spec.service_account_name or "",
        "spec.hostNetwork": lambda pod: "true" if pod.spec.host_network else "false",
        "status.phase": lambda pod: pod.status.phase or "",
        "status.podIP": lambda pod: pod.status.pod_ip or "",
        "status.podIPs": lambda pod: pod.status.pod_ip or "",
        "status.nominatedNodeName": lambda pod: pod.status.nominated_node_name or "",
    },
    subresources={
        "status": ObjectSubresource(PodStatusStrategy(PodStrategy())),
        "binding": BindingSubresource(),
        "log": ConnectSubresource(("get",)),
        "exec": ConnectSubresource(("create", "get"), "PodExecOptions"),
        "attach": ConnectSubresource(("create", "get"), "PodAttachOptions"),
        "portforward": ConnectSubresource(("create", "get"), "PodPortForwardOptions"),
        "proxy": proxy("PodProxyOptions"),
    },
)
