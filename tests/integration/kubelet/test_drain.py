"""``kubectl cordon``, ``drain`` and ``uncordon`` of a node with a real kubelet."""

import asyncio
import os

import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests import kubectls
from tests.integration.kubelet.cluster import NODE, Cluster
from tests.integration.kubelet.pods import Pods


@pytest.mark.parametrize("which", ["today", "old"])
async def test_a_drained_node_has_no_pods_left(
    cluster: Cluster, client: Client, node: core_v1.Node, namespace: str, which: str
) -> None:
    program = "kubectl" if which == "today" else str(await asyncio.to_thread(kubectls.program, kubectls.OLD))
    pods, nodes = Pods(client, namespace), client.resource(core_v1.Node)

    async def kubectl(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            program, f"--kubeconfig={cluster.kubeconfig}", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "HOME": str(cluster.directory)},
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    await pods.running("guest")
    code, out = await kubectl("cordon", NODE)
    assert (code, out) == (0, f"node/{NODE} cordoned\n")
    assert (await nodes.get(NODE)).spec.unschedulable
    code, out = await kubectl("drain", NODE)
    assert code != 0  # nobody would start it again
    assert "declare no controller" in out or "not managed by" in out, out
    assert (await pods.get("guest")).metadata.deletion_timestamp is None
    code, out = await kubectl("drain", NODE, "--force", "--timeout=45s")
    assert code == 0, out
    assert "guest" in out
    await pods.until_gone("guest", 1)
    code, out = await kubectl("uncordon", NODE)
    assert code == 0, out
    assert not (await nodes.get(NODE)).spec.unschedulable
