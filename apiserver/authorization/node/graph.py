"""What each node needs of other objects, by the pods that are bound to it.

    node <- pod <- secret, config map, service account
    node <- pod <- claim <- volume <- secret
    node <- volume attachment

Kept up to date with three caches; a question is two or three look-ups, however many pods there are. Facts of Kubernetes'
node authorizer (plugin/pkg/auth/authorizer/node/graph.go).
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from apimachinery import meta
from apimachinery.core import pods, references
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, Pod
from apimachinery.types.storage_v1 import VolumeAttachment

SECRETS: Final = "secrets"
CONFIG_MAPS: Final = "configmaps"
CLAIMS: Final = "persistentvolumeclaims"
ACCOUNTS: Final = "serviceaccounts"


class Reference(NamedTuple):
    """An object that a pod names, by its resource."""

    resource: str
    namespace: str
    name: str


class _Bound(NamedTuple):
    """A pod that is bound to a node."""

    uid: str
    node: str
    ephemeral: int
    """How many ephemeral containers it has: all else in a bound pod that names objects cannot change."""
    needs: tuple[Reference, ...]


class PodNeeds:
    """What pods name. A mirror pod gives its node nothing: the node itself has made it."""

    def __init__(self) -> None:
        self._pods: dict[str, _Bound] = {}
        self._node_of: dict[Key, str] = {}
        self._nodes: dict[Reference, dict[str, int]] = {}
        """For what pods name, their nodes, and how many of a node's pods name it."""

    def needs(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node names the object."""
        return node in self._nodes.get(Reference(resource, namespace, name), ())

    def runs(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod is bound to the node."""
        return self._node_of.get(Key(namespace, name)) == node

    def clear(self) -> None:
        self._pods.clear()
        self._node_of.clear()
        self._nodes.clear()

    def put(self, key: str, pod: Pod) -> None:
        before = self._pods.get(key)
        node, uid, ephemeral = pod.spec.node_name or "", meta.uid_of(pod), len(pod.spec.ephemeral_containers or ())
        if before is not None:
            if (before.uid, before.node, before.ephemeral) == (uid, node, ephemeral):
                return
            self.drop(key)
        if not node:
            return
        needs = tuple(sorted(set(_needs_of(pod))))
        self._pods[key] = _Bound(uid, node, ephemeral, needs)
        self._node_of[_key(key)] = node
        for reference in needs:
            nodes = self._nodes.setdefault(reference, {})
            nodes[node] = nodes.get(node, 0) + 1

    def drop(self, key: str) -> None:
        bound = self._pods.pop(key, None)
        if bound is None:
            return
        del self._node_of[_key(key)]
        for reference in bound.needs:
            nodes = self._nodes[reference]
            nodes[bound.node] -= 1
            if not nodes[bound.node]:
                del nodes[bound.node]
            if not nodes:
                del self._nodes[reference]


def _key(key: str) -> Key:
    """What a key in storage says last: the namespace (or a dash), and the name."""
    namespace, name = key.rsplit("/", 2)[1:]
    return Key(namespace, name)


def _needs_of(pod: Pod) -> Iterator[Reference]:
    if pods.is_mirror(pod):
        return
    namespace = meta.namespace_of(pod)
    if account := pod.spec.service_account_name:
        yield Reference(ACCOUNTS, namespace, account)
    yield from (Reference(SECRETS, namespace, name) for name in references.secrets_of(pod))
    yield from (Reference(CONFIG_MAPS, namespace, name) for name in references.config_maps_of(pod))
    yield from (Reference(CLAIMS, *claim) for claim in pods.claims_of(pod))


class _Claimed(NamedTuple):
    """A volume that is bound to a claim, or is to be."""

    claim: Key
    secrets: frozenset[Key]


class VolumeNeeds:
    """The claims of volumes, and the secrets that mounting them takes."""

    def __init__(self) -> None:
        self._volumes: dict[str, _Claimed] = {}
        self._by_name: dict[str, _Claimed] = {}
        self._by_secret: dict[Key, set[str]] = {}

    def claims_of(self, name: str) -> Iterable[Key]:
        """The claim of a volume."""
        claimed = self._by_name.get(name)
        return (claimed.claim,) if claimed is not None else ()

    def claims_with(self, secret: Key) -> Iterable[Key]:
        """The claims of the volumes that take a secret to mount."""
        return (self._volumes[key].claim for key in self._by_secret.get(secret, ()))

    def clear(self) -> None:
        self._volumes.clear()
        self._by_name.clear()
        self._by_secret.clear()

    def put(self, key: str, volume: PersistentVolume) -> None:
        claim = volume.spec.claim_ref
        if claim is None:
            self.drop(key)
            return
        claimed = _Claimed(Key(claim.namespace or "", claim.name or ""), frozenset(references.node_secrets_of(volume)))
        if self._volumes.get(key) == claimed:
            return
        self.drop(key)
        self._volumes[key] = self._by_name[_key(key).name] = claimed
        for secret in claimed.secrets:
            self._by_secret.setdefault(secret, set()).add(key)

    def drop(self, key: str) -> None:
        claimed = self._volumes.pop(key, None)
        if claimed is None:
            return
        del self._by_name[_key(key).name]
        for secret in claimed.secrets:
            self._by_secret[secret].discard(key)
            if not self._by_secret[secret]:
                del self._by_secret[secret]


class Attachments:
    """The nodes to which volumes are attached, or are to be."""

    def __init__(self) -> None:
        self._node_of: dict[str, str] = {}

    def node_of(self, name: str) -> str:
        return self._node_of.get(name, "")

    def clear(self) -> None:
        self._node_of.clear()

    def put(self, key: str, attachment: VolumeAttachment) -> None:
        self._node_of[_key(key).name] = attachment.spec.node_name

    def drop(self, key: str) -> None:
        self._node_of.pop(_key(key).name, None)


class Graph:
    """All of it."""

    def __init__(self) -> None:
        self.pods, self.volumes, self.attachments = PodNeeds(), VolumeNeeds(), Attachments()

    def needs_secret(self, node: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node names it, or a volume that is claimed by such a pod."""
        if self.pods.needs(node, SECRETS, namespace, name):
            return True
        return any(self.pods.needs(node, CLAIMS, *claim) for claim in self.volumes.claims_with(Key(namespace, name)))

    def needs_volume(self, node: str, name: str) -> bool:
        """Whether a pod of the node names the volume's claim."""
        return any(self.pods.needs(node, CLAIMS, *claim) for claim in self.volumes.claims_of(name))
