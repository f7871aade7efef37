"""Which pods are on which node, including those that were assigned one and do not show it yet.

Owns the table's rows: each change of a node or its pods brings that row up to date. An *assumed* pod counts from the
scheduler's decision on; the informer's event replaces the assumption, ``forget`` revokes it. Calls may come in any
order and be repeated.
"""

import logging

from apimachinery import meta
from apimachinery.types.core_v1 import Node, Pod
from scheduler.columns import NodeTable
from scheduler.pod_info import PodInfo, pod_info

log = logging.getLogger(__name__)


class Cache:
    def __init__(self) -> None:
        self.table = NodeTable()
        self._nodes: set[str] = set()
        self._pods: dict[str, dict[str, PodInfo]] = {}  # node -> UID -> pod; of nodes that do not exist (yet), too
        self._node_of: dict[str, str] = {}
        self._assumed: set[str] = set()

    def set_node(self, node: Node) -> None:
        name = meta.name_of(node)
        self._nodes.add(name)
        pods = self._pods.setdefault(name, {})
        try:
            self.table.set_node(node, pods.values())
        except ValueError as exc:
            log.warning("%s: cannot be used: %s", name, exc)
            self.table.remove(name)

    def remove_node(self, name: str) -> None:
        self._nodes.discard(name)
        self.table.remove(name)
        if not self._pods.get(name):
            self._pods.pop(name, None)

    def set_pod(self, pod: Pod) -> None:
        """The informer shows a pod on a node."""
        node = pod.spec.node_name or ""
        try:
            info = pod_info(pod)
        except ValueError as exc:  # the apiserver rejects such quantities; an older one may not have
            log.warning("%s: does not count: %s", meta.key_of(pod), exc)
            return
        self._assumed.discard(info.uid)
        before = self._node_of.get(info.uid)
        if before is not None and before != node:
            self._take_off(info.uid)
        previous = self._pods.get(node, {}).get(info.uid)
        self._put_on(node, info)
        if previous is None or not previous.weighs_as(info):
            self.table.set_pods(node)

    def remove_pod(self, uid: str) -> None:
        """The pod is gone, whether it was bound or assumed."""
        self._assumed.discard(uid)
        self._take_off(uid)

    def assume(self, info: PodInfo, node: str) -> None:
        self._take_off(info.uid)
        self._assumed.add(info.uid)
        self._put_on(node, info)
        self.table.set_pods(node)

    def forget(self, uid: str) -> None:
        """Revoke an assumption; what the informer has confirmed stays."""
        if uid in self._assumed:
            self.remove_pod(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def _put_on(self, node: str, info: PodInfo) -> None:
        self._node_of[info.uid] = node
        self._pods.setdefault(node, {})[info.uid] = info

    def _take_off(self, uid: str) -> None:
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        pods = self._pods[node]
        pods.pop(uid, None)
        self.table.set_pods(node)
        if not pods and node not in self._nodes:
            del self._pods[node]
