"""A pod fits where everything that it requests is free, and where one more pod may run."""

from collections.abc import Iterator

import numpy as np

from apimachinery.core.pod_resources import PODS
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import StatelessPlugin
from scheduler.pod_info import PodInfo


class NodeResourcesFit(StatelessPlugin):
    name = "NodeResourcesFit"

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools:
        passed = table.valid
        for resource, amount in pod.requests.items():
            if amount:
                passed = passed & self._fits(table, resource, amount)
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        for resource, amount in pod.requests.items():
            if amount:
                lacking = int(np.count_nonzero(~self._fits(table, resource, amount)[rejected]))
                yield from ["Too many pods" if resource == PODS else f"Insufficient {resource}"] * lacking

    @staticmethod
    def _fits(table: NodeTable, resource: str, amount: int) -> Bools:
        column = table.resource(resource)
        if column is None:
            return np.zeros(len(table.names), np.bool_)
        fits: Bools = table.free[column] >= amount
        return fits
