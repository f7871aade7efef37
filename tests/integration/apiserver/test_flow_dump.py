"""What flow control is doing, as ``kubectl get --raw`` shows it."""

from pathlib import Path

from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

LEVELS = "/debug/api_priority_and_fairness/dump_priority_levels"
QUEUES = "/debug/api_priority_and_fairness/dump_queues"


def rows(text: str) -> dict[str, list[str]]:
    table = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return {row[0]: row for row in table}


async def test_levels_and_their_flows_are_shown(apiserver: ApiserverProcess) -> None:
    async with apiserver.http("ann") as ann, apiserver.http() as admin:
        for _ in range(3):
            await ann.get("/api/v1/namespaces/default/configmaps")
        table = rows((await admin.get(LEVELS)).text)
        assert table["PriorityLevelName"][:5] == [
            "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
        ]  # fmt: skip
        assert {"exempt", "catch-all", "global-default", "leader-election", "node-high"} <= set(table)
        _, _, idle, _, waiting, executing, dispatched, rejected, late = table["global-default"]
        assert (idle, waiting, executing, rejected, late) == ("true", "0", "0", "0", "0")
        assert int(dispatched) >= 3
        assert (await admin.get(QUEUES)).text.startswith("PriorityLevelName, Flow,")


async def test_it_takes_the_right_to_read_it(tmp_path: Path, etcd: EtcdServer) -> None:
    server = ApiserverProcess(tmp_path, etcd.url, "--authorization-mode=RBAC")
    try:
        await server.start()
        async with server.http("ann") as ann, server.http() as admin:
            assert (await ann.get(LEVELS)).status_code == 403
            assert (await admin.get(LEVELS)).status_code == 200
    finally:
        server.kill()
