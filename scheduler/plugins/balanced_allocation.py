"""Nodes on which CPU and memory are used to a similar share are better: neither runs out long before the other."""

import numpy as np

from apimachinery.core.pod_resources import CPU, MEMORY
from scheduler.columns import Ints, NodeTable
from scheduler.framework import MAX_SCORE, StatelessPlugin
from scheduler.pod_info import PodInfo


class BalancedAllocation(StatelessPlugin):
    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints | None:
        cpu, memory = pod.requests.get(CPU, 0), pod.requests.get(MEMORY, 0)
        if not cpu and not memory:
            return None  # it does not change the balance
        capacity = np.maximum(table.allocatable[:2, rows], 1)
        used = (table.requested[:2, rows] + np.array([[cpu], [memory]])) / capacity
        np.minimum(used, 1.0, out=used)
        # The standard deviation of two numbers is half their difference.
        scores: Ints = ((1.0 - np.abs(used[0] - used[1]) / 2) * MAX_SCORE).astype(np.int64)
        return scores
