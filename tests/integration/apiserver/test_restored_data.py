"""etcd's data are replaced by an older copy of them: daemons follow, whether their apiserver saw it happen or not, and
quotas go on being charged."""

import asyncio
import shutil
from pathlib import Path

import pytest

from apimachinery import codec, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ConfigMap, Pod, ResourceQuota, ResourceQuotaStatus
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.networking_v1 import ServiceCIDR
from kube_client import Client, Informer, Resource
from kubelet.pods.status_manager import StatusManager
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.objects import make_pod
from tests.support import eventually

POD = Key("default", "web")


@pytest.mark.parametrize(
    ("restarted", "lost"),
    [(True, 200), (True, 3), (False, 200)],
    ids=["apiserver-restarted", "overtaken-by-new-writes", "apiserver-running"],
)
async def test_caches_and_statuses_follow_to_the_older_data(
    etcd: EtcdServer, apiserver: ApiserverProcess, tmp_path: Path, restarted: bool, lost: int
) -> None:
    async with apiserver.client() as client, asyncio.TaskGroup() as tasks:
        maps, pods = Informer(client.resource(ConfigMap)), Informer(client.resource(Pod))
        statuses = StatusManager(client)
        pods.on_rewind(statuses.rewind)
        loops = [tasks.create_task(loop()) for loop in (maps.run, pods.run, statuses.run)]
        pod = await client.resource(Pod).create(make_pod("web"))
        await limit_config_maps(client)
        await eventually(lambda: pods.get(POD) is not None)
        # a new cluster's default objects, of which this is one of the last: they must not make up for what is lost
        await eventually(lambda: exists(client.resource(ServiceCIDR), "kubernetes"))
        await copy_data(etcd, tmp_path / "copy")

        running = codec.copy(pod.status)
        running.phase = "Running"
        statuses.set(pod, running)
        await asyncio.wait_for(statuses.settled(meta.uid_of(pod)), 30)
        for number in range(lost):
            await client.resource(ConfigMap).create(config_map(f"lost-{number}"))
        await eventually(lambda: maps.get(Key("default", f"lost-{lost - 1}")))
        assert pods.get(POD).status.phase == "Running"  # type: ignore[union-attr]

        if restarted:
            apiserver.kill()
        etcd.kill()
        shutil.rmtree(etcd.data)
        shutil.copytree(tmp_path / "copy", etcd.data)
        await etcd.start()
        if restarted:
            await apiserver.start()
            for number in range(10):  # before the informers try again
                await client.resource(ConfigMap).create(config_map(f"early-{number}"))

        await eventually(lambda: maps.get(Key("default", "lost-0")) is None)
        await eventually(lambda: is_running(client))
        await client.resource(ConfigMap).create(config_map("new"))
        await eventually(lambda: maps.get(Key("default", "new")))
        listed = await client.resource(ConfigMap).list()
        assert {meta.key_of(item) for item in maps.list()} == {meta.key_of(item) for item in listed.items}
        for loop in loops:
            loop.cancel()


async def exists(resource: Resource[ServiceCIDR], name: str) -> bool:
    return name in {meta.name_of(obj) for obj in (await resource.list()).items}


async def limit_config_maps(client: Client) -> None:
    """So many that all can be created, each of which is then charged to the quota."""
    quotas = client.resource(ResourceQuota)
    quota = await quotas.create(ResourceQuota(metadata=ObjectMeta(name="q", namespace="default")))
    quota.status = ResourceQuotaStatus(hard={"configmaps": "1000"}, used={"configmaps": "0"})
    await quotas.update_status(quota)


def config_map(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


async def is_running(client: Client) -> bool:
    return (await client.resource(Pod).get("web", namespace="default")).status.phase == "Running"


async def copy_data(etcd: EtcdServer, target: Path) -> None:
    """As a backup of the stopped server's directory would."""
    await asyncio.to_thread(etcd.stop)
    shutil.copytree(etcd.data, target)
    await etcd.start()
