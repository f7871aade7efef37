"""Small valid objects for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from apimachinery import meta
from apimachinery.types.core_v1 import (
    Container,
    ContainerPort,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ReplicationController,
    ReplicationControllerSpec,
    ResourceRequirements,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
    Toleration,
)
from apimachinery.types.meta_v1 import ObjectMeta


def ago(seconds: float) -> str:
    return meta.format_time(datetime.now(UTC) - timedelta(seconds=seconds))


def make_container(
    requests: dict[str, str] | None = None,
    ports: dict[str, int] | None = None,
    host_port: int | None = None,
    name: str = "c",
) -> Container:
    container_ports = [
        ContainerPort(name=port_name, container_port=number) for port_name, number in (ports or {}).items()
    ]
    if host_port is not None:
        container_ports.append(ContainerPort(container_port=host_port, host_port=host_port))
    return Container(
        name=name, image="busybox", ports=container_ports or None, resources=ResourceRequirements(requests=requests)
    )


def make_pod(
    name: str = "a",
    *,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    node: str | None = None,
    ip: str | None = None,
    ready: bool | None = None,
    age: float = 60,
    phase: str = "Running",
    uid: str | None = None,
    tolerations: list[Toleration] | None = None,
    requests: dict[str, str] | None = None,
    ports: dict[str, int] | None = None,
    host_port: int | None = None,
    **spec: Any,
) -> Pod:
    conditions = None
    if ready is not None:
        conditions = [PodCondition(type="Ready", status=str(ready), last_transition_time=ago(age))]
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            labels=labels,
            uid=uid or f"uid-{namespace}-{name}",
            creation_timestamp=ago(age),
        ),
        spec=PodSpec(
            node_name=node,
            tolerations=tolerations,
            containers=[make_container(requests, ports, host_port)],
            **spec,
        ),
        status=PodStatus(phase=phase, pod_ip=ip, conditions=conditions),
    )


def make_node(
    name: str = "n1",
    *,
    labels: dict[str, str] | None = None,
    taints: list[Taint] | None = None,
    unschedulable: bool | None = None,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    ready: str | None = "True",
    heartbeat: str | None = None,
    **extended: str,
) -> Node:
    allocatable: dict[str, str | int | float] = {"cpu": cpu, "memory": memory, "pods": pods, **extended}
    conditions = None
    if ready is not None:
        conditions = [NodeCondition(type="Ready", status=ready, last_heartbeat_time=heartbeat)]
    return Node(
        metadata=ObjectMeta(name=name, labels=labels, uid=f"uid-{name}"),
        spec=NodeSpec(taints=taints, unschedulable=unschedulable),
        status=NodeStatus(allocatable=allocatable, capacity=dict(allocatable), conditions=conditions),
    )


def make_controller(
    name: str = "rc", *, replicas: int = 1, labels: dict[str, str] | None = None, namespace: str = "default"
) -> ReplicationController:
    labels = labels or {"app": name}
    return ReplicationController(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}"),
        spec=ReplicationControllerSpec(
            replicas=replicas,
            selector=labels,
            template=PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[make_container()])),
        ),
    )


def make_service(
    name: str = "svc",
    *,
    selector: dict[str, str] | None = None,
    ports: list[ServicePort] | None = None,
    namespace: str = "default",
    **spec: Any,
) -> Service:
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=ServiceSpec(
            selector=selector, ports=ports if ports is not None else [ServicePort(port=80, target_port=8080)], **spec
        ),
    )
