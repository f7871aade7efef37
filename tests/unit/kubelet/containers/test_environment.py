"""A container's variables: order, expansion, references, and what services add."""

import pytest

from apimachinery.types import core_v1, meta_v1
from kubelet.containers.environment import (
    ConfigError,
    Sources,
    environment,
    references,
    service_variables,
    visible_services,
)
from kubelet.references.downward import PodAddresses
from kubelet.references.expansion import expand


def service(
    name: str, ip: str | None, *ports: core_v1.ServicePort, namespace: str = "default", at: str = ""
) -> core_v1.Service:
    metadata = meta_v1.ObjectMeta(name=name, namespace=namespace, creation_timestamp=at or None)
    return core_v1.Service(metadata=metadata, spec=core_v1.ServiceSpec(cluster_ip=ip, ports=list(ports)))


def make_pod(namespace: str = "default", **spec: object) -> core_v1.Pod:
    metadata = meta_v1.ObjectMeta(
        name="web", namespace=namespace, uid="u1", labels={"app": "a"}, creation_timestamp="2026-01-01T00:00:10Z"
    )
    return core_v1.Pod(metadata=metadata, spec=core_v1.PodSpec(node_name="n", **spec))  # type: ignore[arg-type]


def test_a_service_gives_the_variables_of_the_article() -> None:
    port = core_v1.ServicePort(port=6379)
    assert service_variables([service("redis-master", "10.0.0.11", port)]) == {
        "REDIS_MASTER_SERVICE_HOST": "10.0.0.11",
        "REDIS_MASTER_SERVICE_PORT": "6379",
        "REDIS_MASTER_PORT": "tcp://10.0.0.11:6379",
        "REDIS_MASTER_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "REDIS_MASTER_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_MASTER_PORT_6379_TCP_PORT": "6379",
        "REDIS_MASTER_PORT_6379_TCP_ADDR": "10.0.0.11",
    }


def test_several_ports_are_told_by_name_and_the_first_is_the_service_s_own() -> None:
    ports = (core_v1.ServicePort(name="a-b", port=80), core_v1.ServicePort(name="dns", port=53, protocol="UDP"))
    variables = service_variables([service("s", "10.0.0.2", *ports)])
    assert variables["S_SERVICE_PORT"] == "80"
    assert variables["S_SERVICE_PORT_A_B"] == "80"
    assert variables["S_SERVICE_PORT_DNS"] == "53"
    assert variables["S_PORT"] == "tcp://10.0.0.2:80"
    assert variables["S_PORT_53_UDP"] == "udp://10.0.0.2:53"
    assert variables["S_PORT_53_UDP_PROTO"] == "udp"


@pytest.mark.parametrize(
    ("service", "visible"),
    [
        pytest.param(service("a", "10.0.0.2"), True, id="same namespace"),
        pytest.param(service("a", "10.0.0.2", at="2026-01-01T00:00:10Z"), True, id="as old as the pod"),
        pytest.param(service("a", "10.0.0.2", at="2026-01-01T00:00:11Z"), False, id="younger than the pod"),
        pytest.param(service("a", "None"), False, id="headless"),
        pytest.param(service("a", None), False, id="without address"),
        pytest.param(service("a", "10.0.0.2", namespace="other"), False, id="other namespace"),
    ],
)
def test_which_services_a_pod_sees(service: core_v1.Service, visible: bool) -> None:
    assert bool(visible_services(make_pod(), [service])) is visible


def test_kubernetes_of_default_is_seen_everywhere_even_without_service_links() -> None:
    services = [service("kubernetes", "10.0.0.1"), service("mine", "10.0.0.3", namespace="other")]
    assert [service.metadata.name for service in visible_services(make_pod("other"), services)] == [
        "kubernetes",
        "mine",
    ]
    lonely = make_pod("other", enable_service_links=False)
    assert [service.metadata.name for service in visible_services(lonely, services)] == ["kubernetes"]


def test_variables_refer_to_earlier_ones_and_to_services_and_win_over_these() -> None:
    container = core_v1.Container(
        name="c",
        env=[
            core_v1.EnvVar(name="A", value="1"),
            core_v1.EnvVar(name="B", value="$(A)$(LATER)$(S_SERVICE_HOST)"),
            core_v1.EnvVar(name="LATER", value="x"),
            core_v1.EnvVar(name="S_SERVICE_PORT", value="mine"),
        ],
    )
    sources = Sources(services=[service("s", "10.0.0.2", core_v1.ServicePort(port=1))])
    variables = environment(make_pod(), container, sources)
    assert variables["B"] == "1$(LATER)10.0.0.2"
    assert variables["S_SERVICE_PORT"] == "mine"


def test_references_are_followed() -> None:
    def of(name: str, **source: object) -> core_v1.EnvVar:
        return core_v1.EnvVar(name=name, value_from=core_v1.EnvVarSource(**source))  # type: ignore[arg-type]

    container = core_v1.Container(
        name="c",
        resources=core_v1.ResourceRequirements(limits={"memory": "1Gi"}),
        env_from=[core_v1.EnvFromSource(prefix="P_", config_map_ref=core_v1.ConfigMapEnvSource(name="cm"))],
        env=[
            of("KEY", config_map_key_ref=core_v1.ConfigMapKeySelector(name="cm", key="k")),
            of("SECRET", secret_key_ref=core_v1.SecretKeySelector(name="s", key="p")),
            of("GONE", secret_key_ref=core_v1.SecretKeySelector(name="none", key="p", optional=True)),
            of("IP", field_ref=core_v1.ObjectFieldSelector(field_path="status.podIP")),
            of("LABEL", field_ref=core_v1.ObjectFieldSelector(field_path="metadata.labels['app']")),
            of("MIB", resource_field_ref=core_v1.ResourceFieldSelector(resource="limits.memory", divisor="1Mi")),
            of("CPU", resource_field_ref=core_v1.ResourceFieldSelector(resource="limits.cpu")),
        ],
    )
    assert references(container) == ({"cm"}, {"s", "none"})
    sources = Sources(
        config_maps={"cm": core_v1.ConfigMap(data={"k": "v", "not a name": "x"})},
        secrets={"s": {"p": b"hush"}},
        addresses=PodAddresses(("10.1.0.2",), ("10.9.0.1",)),
        allocatable={"cpu": "1500m"},
    )
    assert environment(make_pod(), container, sources) == {
        "P_k": "v",
        "KEY": "v",
        "SECRET": "hush",
        "IP": "10.1.0.2",
        "LABEL": "a",
        "MIB": "1024",
        "CPU": "2",
    }


def test_a_reference_that_leads_nowhere_is_an_error_that_names_it() -> None:
    ref = core_v1.EnvVarSource(config_map_key_ref=core_v1.ConfigMapKeySelector(name="cm", key="k"))
    container = core_v1.Container(name="c", env=[core_v1.EnvVar(name="A", value_from=ref)])
    with pytest.raises(ConfigError, match='configmap "cm" not found'):
        environment(make_pod(), container, Sources())
    with pytest.raises(ConfigError, match="couldn't find key k"):
        environment(make_pod(), container, Sources(config_maps={"cm": core_v1.ConfigMap()}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(NO)", "$(NO)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A)$(A)-$$", "11-$"),
        ("$(A", "$(A"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected
