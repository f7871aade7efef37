"""A pod that names its node can go there only."""

from collections.abc import Iterator

import numpy as np

from scheduler.columns import Bools, Ints, NodeTable
from scheduler.pod_info import PodInfo


class NodeName:
    name = "NodeName"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        wanted = pod.pod.spec.node_name
        if not wanted:
            return None
        passed = np.zeros(len(table.names), np.bool_)
        if (row := table.row_of(wanted)) is not None:
            passed[row] = True
        return passed

    def reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        yield from ["node(s) didn't match the requested node name"] * len(rejected)
