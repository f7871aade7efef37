"""What the apiserver's memory grows by when it holds many pods in its watch cache."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.api import namespace, pod
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.procfs import memory, tree
from benchmarks.report import Row
from benchmarks.settings import Settings

POD_BYTES = 3000
"""Of a pod as it is stored: about what a usual one has with its status."""
_CLIENTS = 4
_MB = 1e6


def measure(endpoint: Endpoint, settings: Settings) -> list[Row]:
    """One row: megabytes more after the pods were made than before."""
    if endpoint.pid is None:
        raise BenchmarkError("the apiserver's process is unknown, so its memory cannot be measured")
    with endpoint.session() as session, namespace(session) as name:
        path = f"/api/v1/namespaces/{name}/pods"
        stored = session.create(path, _pod("measure", 0))
        padding = POD_BYTES - len(json.dumps(stored, separators=(",", ":")))
        before = memory(tree(endpoint.pid)).rss
        with ThreadPoolExecutor(_CLIENTS) as clients:
            list(clients.map(lambda part: _create(endpoint, path, part, padding), _parts(settings.cached_pods)))
        time.sleep(1)  # for the last of them to reach the cache
        after = memory(tree(endpoint.pid)).rss
    grown = (after - before) / _MB
    note = f"{settings.cached_pods:,} pods of {POD_BYTES / 1000:g} kB, {after / _MB:.0f} MB in all"
    return [Row("cached", [grown], "MB", details={"before_mb": before / _MB, "after_mb": after / _MB}, note=note)]


def _parts(count: int) -> Iterator[range]:
    for n in range(_CLIENTS):
        yield range(n, count, _CLIENTS)


def _create(endpoint: Endpoint, path: str, numbers: range, padding: int) -> None:
    with endpoint.session() as session:
        for number in numbers:
            session.create(path, _pod(f"cached-{number}", padding))


def _pod(name: str, padding: int) -> dict[str, object]:
    document = pod(name)
    document["metadata"]["annotations"] = {"example.com/padding": "x" * padding}
    return document
