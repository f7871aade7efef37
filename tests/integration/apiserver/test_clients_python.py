"""Client libraries for Python as people use them: the official one, kr8s and lightkube."""

import gc
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import kr8s.asyncio
import kubernetes
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import Pod as Kr8sPod
from kubernetes.client.exceptions import ApiException
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import OnErrorResult, PatchType, on_error_retry

from tests.integration.apiserver.aged import LONG_AGO, aged_apiserver
from tests.integration.apiserver.objects import CONTAINER, name_of
from tests.integration.apiserver_process import ApiserverProcess

# These libraries leave open connections to the garbage collector; ``collected`` has it come while that is tolerated.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiserverProcess]:
    with aged_apiserver(tmp_path_factory.mktemp("aged")) as server:
        yield server


# -- kubernetes, the official client


def official(server: ApiserverProcess) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(server.kubeconfig)))


def config_map(name: str, **data: str) -> kubernetes.client.V1ConfigMap:
    return kubernetes.client.V1ConfigMap(metadata=kubernetes.client.V1ObjectMeta(name=name), data=data)


def test_the_official_client_writes_and_reads(shared: ApiserverProcess, ns: str) -> None:
    api, namespace = official(shared), name_of(ns)
    made = api.create_namespaced_config_map(namespace, config_map("a", k="1"), field_manager="test")
    assert made.metadata.managed_fields[0].manager == "test"
    pod = {"metadata": {"generateName": "p-", "labels": {"app": "x"}}, "spec": {"containers": [CONTAINER]}}
    pod_name = api.create_namespaced_pod(namespace, pod).metadata.name
    assert pod_name.startswith("p-")
    pods = api.list_namespaced_pod(namespace, label_selector="app in (x)", field_selector="status.phase=Pending")
    assert [item.metadata.name for item in pods.items] == [pod_name]
    assert api.patch_namespaced_config_map("a", namespace, {"data": {"l": "2"}}).data == {"k": "1", "l": "2"}
    listed = [{"op": "replace", "path": "/data/k", "value": "3"}]
    assert api.patch_namespaced_config_map("a", namespace, listed).data["k"] == "3"
    with pytest.raises(ApiException) as stale:
        api.replace_namespaced_config_map("a", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    pages, following = [], None
    for name in ("b", "c"):
        api.create_namespaced_config_map(namespace, config_map(name))
    while following != "":
        page = api.list_namespaced_config_map(namespace, limit=2, _continue=following)
        pages.append([item.metadata.name for item in page.items])
        following = page.metadata._continue or ""
    assert pages == [["a", "b"], ["c"]]
    gone = api.delete_namespaced_config_map("a", namespace)
    assert (gone if isinstance(gone, dict) else gone.to_dict())["status"] == "Success"  # as its version has it
    api.delete_collection_namespaced_config_map(namespace)
    assert api.list_namespaced_config_map(namespace).items == []
    with pytest.raises(ApiException, match="not found") as missing:
        api.read_namespaced_config_map("a", namespace)
    assert missing.value.status == 404


def test_the_official_client_resumes_a_watch(shared: ApiserverProcess, ns: str) -> None:
    api, namespace, watch = official(shared), name_of(ns), kubernetes.watch.Watch()
    start = api.list_namespaced_config_map(namespace).metadata.resource_version
    for name in ("a", "b", "c"):
        api.create_namespaced_config_map(namespace, config_map(name))
    api.delete_namespaced_config_map("a", namespace)
    seen, last = [], ""
    for event in watch.stream(api.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=10):
        seen.append((event["type"], event["object"].metadata.name))
        last = event["object"].metadata.resource_version
        if len(seen) == 2:
            watch.stop()
    assert seen == [("ADDED", "a"), ("ADDED", "b")]
    rest = kubernetes.watch.Watch().stream(
        api.list_namespaced_config_map, namespace, resource_version=last, timeout_seconds=1
    )
    assert [(event["type"], event["object"].metadata.name) for event in rest] == [("ADDED", "c"), ("DELETED", "a")]


def test_the_official_client_is_told_when_history_is_gone(aged: ApiserverProcess) -> None:
    api = official(aged)
    with pytest.raises(ApiException) as gone:
        next(kubernetes.watch.Watch().stream(api.list_namespaced_config_map, "default", resource_version=LONG_AGO))
    assert gone.value.status == 410
    api.create_namespaced_config_map("default", config_map("official"))
    listed = api.list_namespaced_config_map("default")
    api.delete_namespaced_config_map("official", "default")
    from_now = kubernetes.watch.Watch().stream(
        api.list_namespaced_config_map, "default", resource_version=listed.metadata.resource_version, timeout_seconds=10
    )
    assert next(from_now)["type"] == "DELETED"


# -- kr8s


async def test_kr8s_writes_reads_and_watches(shared: ApiserverProcess, ns: str) -> None:
    namespace = name_of(ns)
    api = await kr8s.asyncio.api(kubeconfig=str(shared.kubeconfig), namespace=namespace)

    def of(kind: Any, name: str, **body: Any) -> Any:
        return kind({"metadata": {"name": name, "namespace": namespace}, **body}, api=api)

    first = of(Kr8sConfigMap, "a", data={"k": "1"})
    await first.create()
    pod = of(Kr8sPod, "p", spec={"containers": [CONTAINER]})
    await pod.create()
    assert [item.name async for item in api.get("configmaps", namespace=namespace)] == ["a"]
    assert [
        item.name async for item in api.get("pods", namespace=namespace, field_selector={"status.phase": "Pending"})
    ] == ["p"]
    await first.patch({"data": {"l": "2"}})
    await first.label({"x": "y"})
    await first.refresh()
    assert (first.raw["data"], first.labels["x"]) == ({"k": "1", "l": "2"}, "y")
    seen = []
    async with aclosing(api.watch("configmaps", namespace=namespace)) as events:
        async for kind, item in events:
            seen.append((kind, item.name))
            if len(seen) == 1:  # what is there comes first, as no version was named
                await of(Kr8sConfigMap, "b").create()
            elif len(seen) == 2:
                await first.delete()
            else:
                break
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    await pod.delete()
    await pod.wait("delete", timeout=10)
    assert not await first.exists()
    with pytest.raises(kr8s.NotFoundError):
        await Kr8sConfigMap.get("nothing", namespace=namespace, api=api, timeout=0.1)
    assert "pods" in {resource["name"] for resource in await api.api_resources()}


# -- lightkube


def light(server: ApiserverProcess, namespace: str) -> lightkube.Client:
    return lightkube.Client(config=KubeConfig.from_file(str(server.kubeconfig)), namespace=namespace, field_manager="t")


def map_of(name: str, namespace: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


def test_lightkube_writes_reads_and_applies(shared: ApiserverProcess, ns: str) -> None:
    namespace = name_of(ns)
    client = light(shared, namespace)
    client.create(map_of("a", namespace, k="1"))
    spec = PodSpec(containers=[Container(name="c", image="busybox")])
    client.create(Pod(metadata=ObjectMeta(name="p", namespace=namespace, labels={"app": "x"}), spec=spec))
    assert [pod.metadata.name for pod in client.list(Pod, labels={"app": ["x", "y"]})] == ["p"]
    for kind, patch, wanted in (
        (PatchType.STRATEGIC, {"data": {"s": "1"}}, "s"),
        (PatchType.MERGE, {"data": {"m": "1"}}, "m"),
        (PatchType.JSON, [{"op": "add", "path": "/data/j", "value": "1"}], "j"),
    ):
        assert wanted in client.patch(ConfigMap, "a", patch, patch_type=kind).data
    applied = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="b"), data={"k": "1"})
    assert client.apply(applied).data == {"k": "1"}
    applied.data = {"l": "1"}
    assert client.apply(applied).data == {"l": "1"}
    stale = client.get(ConfigMap, "a")
    client.patch(ConfigMap, "a", {"data": {"k": "2"}})
    with pytest.raises(ApiError) as conflict:
        client.replace(stale)
    assert (conflict.value.status.code, conflict.value.status.reason) == (409, "Conflict")
    client.delete(Pod, "p", grace_period=0)
    client.deletecollection(ConfigMap)
    assert list(client.list(ConfigMap)) == []


def test_lightkube_resumes_a_watch(shared: ApiserverProcess, ns: str) -> None:
    namespace = name_of(ns)
    client = light(shared, namespace)
    listed = client.list(ConfigMap)
    assert list(listed) == []
    for name in ("a", "b"):
        client.create(map_of(name, namespace))
    watching = client.watch(ConfigMap, resource_version=listed.resourceVersion)
    kind, first = next(watching)
    assert (kind, first.metadata.name) == ("ADDED", "a")
    resumed = client.watch(ConfigMap, resource_version=first.metadata.resourceVersion)
    assert next(resumed)[1].metadata.name == "b"
    client.delete(ConfigMap, "a")
    assert [next(watching)[0], next(watching)[0]] == ["ADDED", "DELETED"]


def test_lightkube_recovers_when_history_is_gone(aged: ApiserverProcess) -> None:
    client = light(aged, "default")
    with pytest.raises(ApiError) as gone:
        next(client.watch(ConfigMap, resource_version=LONG_AGO))
    assert (gone.value.status.code, gone.value.status.reason) == (410, "Expired")
    client.create(map_of("light", "default"))
    codes = []

    def again(error: Exception, count: int) -> OnErrorResult:
        codes.append(getattr(error, "status", None) and error.status.code)
        return on_error_retry(error, count)

    recovered = client.watch(ConfigMap, resource_version=LONG_AGO, on_error=again)
    assert next(recovered)[1].metadata.name == "light"
    assert codes == [410]
    client.delete(ConfigMap, "light")
