"""Environment variables in real containers: from values, fields, resources, config maps, secrets and services."""

import base64
from typing import Any

import pytest

from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, NODE, Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, status_of, uid_of
from tests.integration.kubelet.test_pods import run_in
from tests.integration.kubelet.test_volumes import until_told


@pytest.fixture
def pods(client: Client, namespace: str, node: v1.Node) -> Pods:
    return Pods(client, namespace)


async def make(client: Client, namespace: str, name: str, **data: str) -> None:
    """A config map and a secret of the same name and content."""
    metadata = ObjectMeta(name=name, namespace=namespace)
    await client.resource(v1.ConfigMap).create(v1.ConfigMap(metadata=metadata, data=data))
    hidden = {key: base64.b64encode(f"secret-{text}".encode()).decode() for key, text in data.items()}
    await client.resource(v1.Secret).create(v1.Secret(metadata=metadata, data=hidden))


def variable(name: str, **source: Any) -> v1.EnvVar:
    return v1.EnvVar(name=name, value_from=v1.EnvVarSource(**source))


def field(name: str, path: str) -> v1.EnvVar:
    return variable(name, field_ref=v1.ObjectFieldSelector(field_path=path))


def resource(name: str, what: str, divisor: str | None = None) -> v1.EnvVar:
    return variable(name, resource_field_ref=v1.ResourceFieldSelector(resource=what, divisor=divisor))


async def variables(pods: Pods, cluster: Cluster, name: str, spec: v1.Container, **fields: Any) -> dict[str, str]:
    pod = await pods.running(name, spec, **fields)
    lines = run_in(cluster, container_id(pod), "env").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


async def test_a_container_knows_its_pod_and_its_resources(pods: Pods, cluster: Cluster) -> None:
    env = [
        *(field(path.rpartition(".")[2], path) for path in ("metadata.name", "metadata.namespace", "metadata.uid")),
        *(field(path.rpartition(".")[2], path) for path in ("spec.nodeName", "status.podIP", "status.hostIP")),
        resource("CPU", "limits.cpu", "1m"),
        resource("MIB", "requests.memory", "1Mi"),
        resource("NODE_CPU", "limits.ephemeral-storage"),
        v1.EnvVar(name="BOTH", value="$(name) on $(nodeName), $$(name), $(nobody)"),
    ]
    resources = v1.ResourceRequirements(limits={"cpu": "250m"}, requests={"memory": "64Mi", "cpu": "100m"})
    values = await variables(pods, cluster, "fields", container(env=env, resources=resources))
    pod = await pods.get("fields")
    assert (values["name"], values["namespace"]) == ("fields", pod.metadata.namespace)
    assert (values["uid"], values["nodeName"]) == (uid_of(pod), NODE)
    assert (values["podIP"], values["hostIP"]) == (pod.status.pod_ip, ADDRESS)
    assert (values["CPU"], values["MIB"]) == ("250", "64")
    assert int(values["NODE_CPU"]) > 0, "no limit means what the node has"
    assert values["BOTH"] == f"fields on {NODE}, $(name), $(nobody)"


async def test_config_maps_and_secrets_as_variables(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    await make(client, namespace, "src", plain="one", **{"1st": "bad", "with.dot": "two"})
    of_map, of_secret = v1.ConfigMapEnvSource(name="src"), v1.SecretEnvSource(name="src")
    env_from = [
        v1.EnvFromSource(config_map_ref=of_map),
        v1.EnvFromSource(prefix="S_", secret_ref=of_secret),
        v1.EnvFromSource(config_map_ref=v1.ConfigMapEnvSource(name="nowhere", optional=True)),
    ]
    env = [
        variable("KEY", config_map_key_ref=v1.ConfigMapKeySelector(name="src", key="plain")),
        variable("HIDDEN", secret_key_ref=v1.SecretKeySelector(name="src", key="plain")),
        variable("NONE", secret_key_ref=v1.SecretKeySelector(name="src", key="other", optional=True)),
        v1.EnvVar(name="plain", value="env wins over envFrom"),
    ]
    values = await variables(pods, cluster, "refs", container(env=env, env_from=env_from))
    assert (values["KEY"], values["HIDDEN"]) == ("one", "secret-one")
    assert values["plain"] == "env wins over envFrom"
    assert (values["with.dot"], values["S_plain"], values["S_1st"]) == ("two", "secret-one", "secret-bad")
    assert "1st" not in values
    assert "NONE" not in values
    message = await until_told(client, namespace, "Keys [1st]", reason="InvalidEnvironmentVariableNames")
    assert message == (
        f"Keys [1st] from the EnvFrom configMap {namespace}/src were skipped since they are considered invalid "
        "environment variable names."
    )


async def test_a_variable_that_leads_nowhere_keeps_the_container_waiting(
    pods: Pods, client: Client, namespace: str
) -> None:
    late = variable("LATE", config_map_key_ref=v1.ConfigMapKeySelector(name="late", key="k"))
    await pods.create("waits", container(env=[late]))

    def why(pod: v1.Pod) -> tuple[str | None, str | None]:
        state = status_of(pod).state.waiting
        return (state.reason, state.message) if state else (None, None)

    missing = ("CreateContainerConfigError", 'configmap "late" not found')
    await pods.until("waits", lambda pod: why(pod) == missing)
    await make(client, namespace, "late", other="x")
    no_key = ("CreateContainerConfigError", f"couldn't find key k in ConfigMap {namespace}/late")
    await pods.until("waits", lambda pod: why(pod) == no_key, timeout=20)
    await client.resource(v1.ConfigMap).patch("late", {"data": {"k": "v"}}, namespace=namespace)
    await pods.until("waits", is_ready, timeout=20)


async def test_services_are_told_of_unless_nobody_wants_to_know(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    port = v1.ServicePort(name="db", port=6379)
    service = v1.Service(metadata=ObjectMeta(name="redis-master", namespace=namespace))
    service.spec = v1.ServiceSpec(ports=[port], selector={"a": "b"})
    address = (await client.resource(v1.Service).create(service)).spec.cluster_ip or ""
    for attempt in range(20):  # until one was created after the kubelet had the service in its cache
        values = await variables(pods, cluster, f"links-{attempt}", container())
        if "REDIS_MASTER_SERVICE_HOST" in values:
            break
    assert {key: text for key, text in values.items() if key.startswith("REDIS_MASTER")} == {
        "REDIS_MASTER_SERVICE_HOST": address,
        "REDIS_MASTER_SERVICE_PORT": "6379",
        "REDIS_MASTER_SERVICE_PORT_DB": "6379",
        "REDIS_MASTER_PORT": f"tcp://{address}:6379",
        "REDIS_MASTER_PORT_6379_TCP": f"tcp://{address}:6379",
        "REDIS_MASTER_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_MASTER_PORT_6379_TCP_PORT": "6379",
        "REDIS_MASTER_PORT_6379_TCP_ADDR": address,
    }
    quiet = await variables(pods, cluster, "quiet", container(), enable_service_links=False)
    assert not any(key.startswith("REDIS") for key in quiet)
    assert quiet["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
