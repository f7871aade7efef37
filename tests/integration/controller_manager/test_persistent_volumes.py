"""Claims and volumes find each other, hold on to each other, and part as the reclaim policy says."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.daemon_process import DaemonProcess
from tests.support import eventually

NS = "/api/v1/namespaces/default"
CLAIMS = f"{NS}/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def api(etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An apiserver with all admission plugins but accounts, and a controller manager."""
    server = ApiserverProcess(tmp_path, etcd.url, "--disable-admission-plugins=ServiceAccount")
    manager = DaemonProcess(tmp_path, "controller_manager", server.kubeconfig)
    try:
        await server.start()
        await manager.start()
        async with server.http() as client:
            yield client
    finally:
        manager.stop()
        server.kill()


def volume(name: str, size: str = "1Gi", path: str = "/data", policy: str = "Retain", **spec: Any) -> dict[str, Any]:
    body = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path}}
    return {"metadata": {"name": name}, "spec": {**body, "persistentVolumeReclaimPolicy": policy, **spec}}


def claim(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": {**body, **spec}}


async def post(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def until(api: httpx.AsyncClient, path: str, phase: str) -> dict[str, Any]:
    last: dict[str, Any] = {}

    async def there() -> bool:
        last.clear()
        last.update((await api.get(path)).json())
        return bool(last.get("status", {}).get("phase") == phase)

    try:
        await eventually(there, timeout=15)
    except AssertionError as fault:
        raise AssertionError(f"{path} is not {phase}: {last}") from fault
    return dict(last)


async def until_gone(api: httpx.AsyncClient, path: str) -> None:
    async def gone() -> bool:
        return (await api.get(path)).status_code == 404

    await eventually(gone, timeout=15)


async def events(api: httpx.AsyncClient, name: str, namespace: str = "default") -> list[tuple[str, str]]:
    items = (await api.get(f"/api/v1/namespaces/{namespace}/events")).json()["items"]
    return [(event["reason"], event["message"]) for event in items if event["involvedObject"]["name"] == name]


async def until_event(api: httpx.AsyncClient, name: str, reason: str, text: str = "") -> None:
    async def there() -> bool:
        return any(event == reason and text in message for event, message in await events(api, name))

    await eventually(there)


async def test_a_claim_gets_the_smallest_volume_that_fits(api: httpx.AsyncClient) -> None:
    await post(api, VOLUMES, volume("big", "10Gi"))
    await post(api, VOLUMES, volume("fit", "2Gi"))
    for name in ("big", "fit"):
        await until(api, f"{VOLUMES}/{name}", "Available")
    await post(api, CLAIMS, claim("c", "1500Mi"))
    bound = await until(api, f"{CLAIMS}/c", "Bound")
    assert bound["spec"]["volumeName"] == "fit"
    assert bound["status"]["capacity"] == {"storage": "2Gi"}
    assert bound["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes"
    fit = await until(api, f"{VOLUMES}/fit", "Bound")
    assert fit["spec"]["claimRef"]["uid"] == bound["metadata"]["uid"]
    await until(api, f"{VOLUMES}/big", "Available")


async def test_a_claim_waits_for_a_volume(api: httpx.AsyncClient) -> None:
    await post(api, CLAIMS, claim("c"))
    await until_event(api, "c", "FailedBinding", "no persistent volumes available for this claim")
    await until(api, f"{CLAIMS}/c", "Pending")
    await post(api, VOLUMES, volume("late"))
    assert (await until(api, f"{CLAIMS}/c", "Bound"))["spec"]["volumeName"] == "late"


async def test_two_claims_never_share_a_volume(api: httpx.AsyncClient) -> None:
    for number in range(4):
        await post(api, CLAIMS, claim(f"c{number}"))
    for number in range(3):
        await post(api, VOLUMES, volume(f"v{number}"))

    async def bound() -> list[str] | None:
        items = (await api.get(CLAIMS)).json()["items"]
        names = [item["spec"]["volumeName"] for item in items if item["status"]["phase"] == "Bound"]
        return names if len(names) == 3 else None

    assert sorted(await eventually(bound, timeout=15) or ()) == ["v0", "v1", "v2"]


async def test_volumes_and_claims_that_name_each_other(api: httpx.AsyncClient) -> None:
    await post(api, VOLUMES, volume("small"))
    await post(api, VOLUMES, volume("kept", "9Gi", claimRef={"namespace": "default", "name": "mine"}))
    await until(api, f"{VOLUMES}/kept", "Available")
    await post(api, CLAIMS, claim("mine"))
    assert (await until(api, f"{CLAIMS}/mine", "Bound"))["spec"]["volumeName"] == "kept"
    await post(api, CLAIMS, claim("greedy", "5Gi", volumeName="small"))
    await until_event(api, "greedy", "VolumeMismatch", "requested PV is too small")
    await post(api, CLAIMS, claim("by-name", volumeName="small"))
    await until(api, f"{CLAIMS}/by-name", "Bound")
    await post(api, CLAIMS, claim("second", volumeName="small"))
    await until_event(api, "second", "FailedBinding", 'volume "small" already bound to a different claim.')


async def test_a_retained_volume_is_released_and_kept(api: httpx.AsyncClient) -> None:
    await post(api, VOLUMES, volume("v"))
    await post(api, CLAIMS, claim("c"))
    await until(api, f"{CLAIMS}/c", "Bound")
    await api.delete(f"{CLAIMS}/c")
    await until_gone(api, f"{CLAIMS}/c")
    await until(api, f"{VOLUMES}/v", "Released")
    await post(api, CLAIMS, claim("c"))
    await until_event(api, "c", "FailedBinding")
    assert (await api.patch(f"{VOLUMES}/v", json={"spec": {"claimRef": None}}, headers=MERGE)).status_code == 200
    await until(api, f"{CLAIMS}/c", "Bound")


async def test_a_deleted_volume_takes_its_directory_below_tmp_with_it(api: httpx.AsyncClient) -> None:
    directory = Path(tempfile.mkdtemp(prefix="pv-"))
    (directory / "file").write_text("x")
    await post(api, VOLUMES, volume("v", path=str(directory), policy="Delete"))
    await post(api, CLAIMS, claim("c"))
    await until(api, f"{CLAIMS}/c", "Bound")
    await api.delete(f"{CLAIMS}/c")
    await until_gone(api, f"{VOLUMES}/v")
    await eventually(lambda: not os.path.exists(directory))


@pytest.mark.parametrize("policy", ["Delete", "Recycle"])
async def test_what_cannot_be_reclaimed_fails_and_says_so(api: httpx.AsyncClient, policy: str, tmp_path: Path) -> None:
    outside = Path(tempfile.mkdtemp(prefix="pv-", dir="/var/tmp"))
    try:
        await post(api, VOLUMES, volume("v", path=str(outside), policy=policy))
        await post(api, CLAIMS, claim("c"))
        await until(api, f"{CLAIMS}/c", "Bound")
        await api.delete(f"{CLAIMS}/c")
        failed = await until(api, f"{VOLUMES}/v", "Failed")
        await eventually(lambda: os.path.exists(outside))
        reason = {"Delete": "VolumeFailedDelete", "Recycle": "VolumeFailedRecycle"}[policy]
        assert failed["status"]["message"]
        await until_event(api, "v", reason)
    finally:
        os.rmdir(outside)


async def test_a_claim_whose_volume_is_taken_away_is_lost(api: httpx.AsyncClient) -> None:
    await post(api, VOLUMES, volume("v"))
    await post(api, CLAIMS, claim("c"))
    await until(api, f"{CLAIMS}/c", "Bound")
    await api.delete(f"{VOLUMES}/v")
    held = (await api.get(f"{VOLUMES}/v")).json()
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    await api.patch(f"{VOLUMES}/v", json={"metadata": {"finalizers": []}}, headers=MERGE)
    await until(api, f"{CLAIMS}/c", "Lost")
    await until_event(api, "c", "ClaimLost", "lost its PersistentVolume")


async def test_a_claim_in_use_stays_until_its_pod_is_gone(api: httpx.AsyncClient) -> None:
    await post(api, VOLUMES, volume("v"))
    await post(api, CLAIMS, claim("c"))
    await until(api, f"{CLAIMS}/c", "Bound")
    mount = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}], "volumes": [mount]}
    await post(api, f"{NS}/pods", {"metadata": {"name": "user"}, "spec": spec})
    await api.delete(f"{CLAIMS}/c")
    await api.delete(f"{VOLUMES}/v")
    await post(api, CLAIMS, claim("unused"))
    await api.delete(f"{CLAIMS}/unused")
    await until_gone(api, f"{CLAIMS}/unused")  # so the controller has processed the other claim too
    for path in (f"{CLAIMS}/c", f"{VOLUMES}/v"):
        protected = (await api.get(path)).json()
        assert protected["metadata"]["deletionTimestamp"]
        assert protected["status"]["phase"] == "Bound"
    await api.delete(f"{NS}/pods/user?gracePeriodSeconds=0")
    await until_gone(api, f"{CLAIMS}/c")
    await until_gone(api, f"{VOLUMES}/v")


async def test_a_class_that_waits_for_a_consumer_binds_nothing_on_its_own(api: httpx.AsyncClient) -> None:
    storage = {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}
    storage["volumeBindingMode"] = "WaitForFirstConsumer"
    await post(api, "/apis/storage.k8s.io/v1/storageclasses", storage)
    await post(api, VOLUMES, volume("v", storageClassName="local"))
    created = await post(api, CLAIMS, claim("c", storageClassName="local"))
    await until_event(api, "c", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    assert (await api.get(f"{CLAIMS}/c")).json()["status"]["phase"] == "Pending"
    ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": "c"}
    patch = {"spec": {"claimRef": {**ref, "uid": created["metadata"]["uid"]}}}
    await api.patch(f"{VOLUMES}/v", json=patch, headers=MERGE)
    await until(api, f"{CLAIMS}/c", "Bound")


async def test_the_default_class_is_set_and_a_provisioner_is_asked(api: httpx.AsyncClient) -> None:
    marks = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage = {"metadata": {"name": "standard", "annotations": marks}, "provisioner": "example.com/disks"}
    await post(api, "/apis/storage.k8s.io/v1/storageclasses", storage)

    async def defaulted() -> dict[str, Any] | None:
        answer = await api.post(f"{CLAIMS}?dryRun=All", json=claim("c"))
        defaulted: dict[str, Any] = answer.json()
        return defaulted if defaulted["spec"].get("storageClassName") == "standard" else None

    await eventually(defaulted)
    await post(api, CLAIMS, claim("c"))
    await until_event(api, "c", "ExternalProvisioning", "external provisioner 'example.com/disks'")

    async def asked() -> bool:
        annotations = (await api.get(f"{CLAIMS}/c")).json()["metadata"].get("annotations", {})
        return bool(annotations.get("volume.kubernetes.io/storage-provisioner") == "example.com/disks")

    await eventually(asked)
    assert (await post(api, CLAIMS, claim("none", storageClassName="")))["spec"]["storageClassName"] == ""


async def test_an_ephemeral_volumes_claim_is_created_for_the_pod(api: httpx.AsyncClient) -> None:
    template = {"spec": claim("x")["spec"], "metadata": {"labels": {"a": "b"}}}
    scratch = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [scratch]}
    pod = await post(api, f"{NS}/pods", {"metadata": {"name": "p"}, "spec": spec})

    async def created() -> dict[str, Any] | None:
        answer = await api.get(f"{CLAIMS}/p-scratch")
        return answer.json() if answer.status_code == 200 else None

    ephemeral = await eventually(created)
    assert ephemeral is not None
    assert ephemeral["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    assert ephemeral["metadata"]["labels"] == {"a": "b"}
    await api.delete(f"{NS}/pods/p")
    await until_gone(api, f"{CLAIMS}/p-scratch")
