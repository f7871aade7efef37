"""Made-up requests never make the server fail, hang or grow.

A short run by default; ``make fuzz`` makes the long one (``FUZZ`` is the number of requests).
"""

import asyncio
import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from benchmarks import procfs
from tests.integration.apiserver import fuzzing
from tests.integration.apiserver.objects import is_not_typed
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.integration.conftest import EtcdServer

REQUESTS = int(os.environ.get("FUZZ", "1500"))
GROWTH = 32 * 2**20  # bytes that the second half of a run may add
PATIENCE = 15.0  # s for an answer: a machine with other work must not look like a hung connection


class Run:
    """Sends requests to one server and holds it to what every answer must be."""

    def __init__(self, server: ApiserverProcess) -> None:
        self._server = server
        self.answers: Counter[int] = Counter()
        self._client = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            verify=server.ssl_context(),
            timeout=PATIENCE,
        )

    def send(self, request: httpx.Request) -> None:
        url = request.url.copy_with(scheme="https", host="127.0.0.1", port=self._client.base_url.port)
        reply = self._client.request(request.method, url, headers=request.headers, content=request.content)
        self.answers[reply.status_code] += 1
        told = f"{request.method} {url} {dict(request.headers)} {request.content!r}: {reply.status_code} {reply.text}"
        if reply.status_code >= 500 and not _is_of_the_future(reply) and not is_not_typed(reply):
            raise AssertionError(f"{told}\n{self._server.log.read_text()[-3000:]}")
        if reply.status_code >= 400:
            assert reply.headers["content-type"] == "application/json", told
            assert reply.json()["kind"] == "Status", told
            assert reply.json()["code"] == reply.status_code, told

    def memory(self, known: list[fuzzing.Operation]) -> int:
        """Bytes that the server takes when what was made is gone again."""
        for operation in known:
            if operation.method == "delete" and not operation.path.endswith("}"):
                for namespace in (fuzzing.NAMESPACE, "default"):
                    path = operation.path.replace("{namespace}", namespace)
                    self._client.request("DELETE", path, params={"gracePeriodSeconds": "0"})
        return procfs.memory([self._server.pid]).rss

    def close(self) -> None:
        self._client.close()


def _is_of_the_future(reply: httpx.Response) -> bool:
    """A revision that does not exist yet is answered with 504, as Kubernetes does."""
    return reply.status_code == 504 and "Too large resource version" in reply.text


@pytest.mark.timeout(60 + REQUESTS // 20)
def test_no_request_makes_the_server_fail_hang_or_grow(
    etcd: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = os.environ.get("FUZZ_SEED") or random.randrange(2**32)
    server = ApiserverProcess(tmp_path, etcd.url)
    asyncio.run(server.start())
    run = Run(server)

    async def described() -> list[fuzzing.Operation]:
        async with server.http() as client:
            await client.post("/api/v1/namespaces", json={"metadata": {"name": fuzzing.NAMESPACE}})
            return await fuzzing.operations(client)

    known = asyncio.run(described())

    # without objects there would be little to act on
    creations = [operation for operation in known if operation.method == "post" and operation.example]

    def send(numbers: range) -> int:
        def one(n: int) -> None:
            rng = random.Random(f"{seed}-{n}")
            run.send(fuzzing.request(rng.choice(creations if rng.random() < 0.3 else known), rng))

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(one, numbers))
        return run.memory(known)

    try:
        half = send(range(REQUESTS // 2))
        end = send(range(REQUESTS // 2, REQUESTS))
    finally:
        run.close()
        server.kill()
    with capsys.disabled():
        total = sum(run.answers.values())
        print(f"\n{total} requests to {len(known)} operations (FUZZ_SEED={seed}): {dict(sorted(run.answers.items()))}")
        print(f"resident memory: {half >> 20} MiB half way, {end >> 20} MiB at the end")
    assert end - half < GROWTH
