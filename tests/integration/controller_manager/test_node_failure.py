"""Controller manager and scheduler together: what a node takes with it comes back elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apimachinery import meta
from apimachinery.types.core_v1 import Pod, ReplicationController, Toleration
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.controller_manager.test_nodes_process import beating, register
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_controller
from tests.support import eventually


@pytest.fixture
async def scheduler(tmp_path: Path, apiserver: ApiserverProcess) -> AsyncIterator[DaemonProcess]:
    process = DaemonProcess(tmp_path, "scheduler", apiserver.kubeconfig)
    try:
        await process.start()
        yield process
    finally:
        process.stop()


async def alive(client: Client) -> list[Pod]:
    pods = (await client.resource(Pod).list(namespace="default")).items
    return [pod for pod in pods if not meta.is_being_deleted(pod)]


async def all_on(client: Client, count: int, *nodes: str) -> None:
    async def so() -> bool:
        pods = await alive(client)
        assert (len(pods), {pod.spec.node_name for pod in pods}) == (count, set(nodes))
        return True

    await eventually(so, timeout=20)


async def test_pods_of_a_silent_node_are_replaced_on_the_other(
    client: Client, controller_manager: DaemonProcess, scheduler: DaemonProcess
) -> None:
    controller = make_controller(replicas=4)
    assert controller.spec.template is not None
    controller.spec.template.spec.tolerations = [
        Toleration(key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute", toleration_seconds=1)
    ]
    await register(client, "n1", "n2")
    async with beating(client, "n1"):
        async with beating(client, "n2"):
            await client.resource(ReplicationController).create(controller)
            await all_on(client, 4, "n1", "n2")
        await all_on(client, 4, "n1")


async def test_daemons_and_apiserver_killed_in_the_middle_leave_what_was_asked_for(
    client: Client, apiserver: ApiserverProcess, controller_manager: DaemonProcess, scheduler: DaemonProcess
) -> None:
    await register(client, "n1", "n2")
    controllers = client.resource(ReplicationController)
    async with beating(client, "n1"), beating(client, "n2"):
        await controllers.create(make_controller(replicas=60))
        await eventually(lambda: some(client))
        await apiserver.restart()
        await asyncio.gather(controller_manager.restart(), scheduler.restart())
        await all_on(client, 60, "n1", "n2")

        async def settled() -> bool:
            return (await controllers.get("rc", namespace="default")).status.replicas == 60

        await eventually(settled)
        assert len((await client.resource(Pod).list(namespace="default")).items) == 60


async def some(client: Client) -> bool:
    return len(await alive(client)) > 5
