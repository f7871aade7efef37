"""The state of flow control as text for people, at the paths and in the columns of Kubernetes' debug endpoints.

kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from apiserver.flowcontrol import metrics
from apiserver.flowcontrol.controller import FlowController

_ROOT: Final = "/debug/api_priority_and_fairness"
_LEVELS: Final = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
    "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
)  # fmt: skip
_QUEUES: Final = ("PriorityLevelName", "Flow", "PendingRequests", "SeatsInUse")


def routes(flows: FlowController) -> list[BaseRoute]:
    return [
        _route("dump_priority_levels", _LEVELS, lambda: _levels(flows)),
        _route("dump_queues", _QUEUES, lambda: _queues(flows)),
    ]


def _levels(flows: FlowController) -> Iterator[Sequence[object]]:
    for level in flows.levels():
        active, dispatched = len(level.queues()), int(metrics.dispatched.total(level.name))
        late = sum(int(metrics.rejected.get(level.name, schema, "time-out")) for schema in flows.schemas_of(level.name))
        rejected = int(metrics.rejected.total(level.name)) - late
        idle = not level.seats and not level.waiting
        executing = int(metrics.executing.total(level.name))
        yield level.name, active, _text(idle), "false", level.waiting, executing, dispatched, rejected, late


def _queues(flows: FlowController) -> Iterator[Sequence[object]]:
    for level in flows.levels():
        for name, seats, waiting in sorted(level.queues()):
            yield level.name, name, waiting, seats


def _text(value: bool) -> str:
    return str(value).lower()


def _route(name: str, columns: Sequence[str], rows: Callable[[], Iterator[Sequence[object]]]) -> BaseRoute:
    async def dump(request: Request) -> Response:
        return PlainTextResponse(_aligned([columns, *rows()]))

    return Route(f"{_ROOT}/{name}", dump, methods=["GET"])


def _aligned(rows: Sequence[Sequence[object]]) -> str:
    """Cells end with a comma, and columns are as wide as their widest cell."""
    cells = [[*(f"{cell}," for cell in row[:-1]), str(row[-1])] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in cells
    )
