"""The emptier a node is with the pod on it, the better: the mean of the free shares of CPU and memory."""

import numpy as np

from scheduler.columns import Ints, NodeTable
from scheduler.framework import MAX_SCORE, StatelessPlugin
from scheduler.pod_info import PodInfo


class LeastAllocated(StatelessPlugin):
    name = "NodeResourcesLeastAllocated"
    weight = 1

    def score(self, pod: PodInfo, table: NodeTable, rows: Ints) -> Ints:
        capacity = table.allocatable[:2, rows]
        requested = table.scored[:, rows] + np.array([[pod.scored_cpu], [pod.scored_memory]])
        free = np.maximum(capacity - requested, 0)
        # Divided before it is multiplied: a hundred times some petabytes would overflow.
        shares = MAX_SCORE * (free / np.maximum(capacity, 1))
        scores: Ints = (shares[0].astype(np.int64) + shares[1].astype(np.int64)) // 2
        return scores
