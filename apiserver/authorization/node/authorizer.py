"""What a kubelet may ask for: reading what the pods on its node take, and a fixed set of other requests.

Secrets, config maps, claims, volumes, attachments and tokens follow from the graph; its node, pods, lease and CSINode
from their names and selectors; everything else from the rules that all nodes share. What a kubelet may not ask for here,
others may still allow; what it writes into the objects, admission judges (``NodeRestriction``).

Facts of Kubernetes' plugin/pkg/auth/authorizer/node, with AuthorizeNodeWithSelectors.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Final, Protocol

from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.authorization.authorizer import ALLOW, NO_OPINION, Decision, Rules
from apiserver.authorization.node.graph import ACCOUNTS, CLAIMS, CONFIG_MAPS, Graph
from apiserver.authorization.node.identity import node_of
from apiserver.request import Attributes, User

LEASES: Final = "kube-node-lease"
"""The namespace of the nodes' leases."""
_READ: Final = ("get", "list", "watch")
_KEEP: Final = ("get", "create", "update", "patch", "delete")
_STORAGE: Final = "storage.k8s.io"


class Knowledge(Protocol):
    """How the graph relates to what is stored."""

    @property
    def is_loaded(self) -> bool: ...
    async def wait_current(self) -> None:
        """Return once the graph has all that was stored before this call. Raises ApiError if that takes too long."""
        ...


class NodeAuthorizer:
    """Has an opinion on requests of kubelets only, and never denies what others allow."""

    def __init__(self, graph: Graph, knowledge: Knowledge, rules: Iterable[PolicyRule]) -> None:
        """``rules`` are those that all nodes share; they name verbs, groups and resources, and nothing by ``*``."""
        self._graph, self._knowledge = graph, knowledge
        self._allowed = frozenset(
            allowed for rule in rules for allowed in product(rule.verbs, rule.api_groups or (), rule.resources or ())
        )
        self._subdivided: Mapping[tuple[str, str], Callable[[str, Attributes], str | None]] = {
            ("", "secrets"): self._secret,
            ("", "configmaps"): self._config_map,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._volume,
            ("", "serviceaccounts"): self._token,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            (_STORAGE, "volumeattachments"): self._attachment,
            (_STORAGE, "csinodes"): _csi_node,
            ("coordination.k8s.io", "leases"): _lease,
        }

    async def decide(self, attributes: Attributes) -> Decision:
        node = node_of(attributes.user)
        if node is None:
            return NO_OPINION
        if not node:
            return Decision("no opinion", f'unknown node for user "{attributes.user.name}"')
        judge = self._subdivided.get((attributes.group, attributes.resource))
        if judge is None:
            return ALLOW if self._is_shared(attributes) else NO_OPINION
        fault = judge(node, attributes)
        if fault is None:  # which another apiserver may have bound a pod to change just now
            if not self._knowledge.is_loaded:
                return Decision("no opinion", "it is not known yet which pods run on which nodes")
            await self._knowledge.wait_current()
            fault = judge(node, attributes)
        if fault is None:
            fault = f"no relationship found between node '{node}' and this object"
        return Decision("no opinion", fault) if fault else ALLOW

    def rules_for(self, user: User, namespace: str) -> Rules:
        if node_of(user) is None:
            return Rules()
        return Rules(is_incomplete=True, error="node authorizer does not support user rule resolution")

    def _is_shared(self, attributes: Attributes) -> bool:
        resource = attributes.resource
        if attributes.subresource:
            resource = f"{resource}/{attributes.subresource}"
        return (attributes.verb, attributes.group, resource) in self._allowed

    # -- each says why not; "" to allow, None where the graph relates the object to nothing of the node's

    def _secret(self, node: str, attributes: Attributes) -> str | None:
        return _not_a_read(attributes) or _related(
            self._knows() and self._graph.needs_secret(node, attributes.namespace, attributes.name)
        )

    def _config_map(self, node: str, attributes: Attributes) -> str | None:
        return _not_a_read(attributes) or self._named(node, CONFIG_MAPS, attributes)

    def _claim(self, node: str, attributes: Attributes) -> str | None:
        if attributes.subresource != "status":
            return _not_a_get(attributes) or self._named(node, CLAIMS, attributes)
        if attributes.verb not in ("update", "patch"):
            return "can only get/update/patch this type"
        return _nameless(attributes) or self._named(node, CLAIMS, attributes)

    def _volume(self, node: str, attributes: Attributes) -> str | None:
        return _not_a_get(attributes) or _related(self._knows() and self._graph.needs_volume(node, attributes.name))

    def _attachment(self, node: str, attributes: Attributes) -> str | None:
        return _not_a_get(attributes) or _related(
            self._knows() and self._graph.attachments.node_of(attributes.name) == node
        )

    def _token(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb != "create" or not attributes.name:
            return "can only create tokens for individual service accounts"
        if attributes.subresource != "token":
            return "can only create token subresource of serviceaccount"
        return self._named(node, ACCOUNTS, attributes)

    def _node(self, node: str, attributes: Attributes) -> str | None:
        match attributes.subresource, attributes.verb:
            case ("", "create" | "update" | "patch") | ("status", "update" | "patch"):
                return ""
            case "", "get" | "list" | "watch":
                # by name, so that a kubelet may look for its Node before that exists
                if attributes.name == node:
                    return ""
                if not attributes.name:
                    return f"node '{node}' cannot read all nodes, only its own Node object"
                return f"node '{node}' cannot read '{attributes.name}', only its own Node object"
        return _refused(attributes)

    def _pod(self, node: str, attributes: Attributes) -> str | None:
        match attributes.subresource, attributes.verb:
            case ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create"):
                return ""
            case "", "list" | "watch" if attributes.fields.exact("spec.nodeName") == node:
                return ""
            case "", "list" | "watch" if not attributes.name:
                return "can only list/watch pods with spec.nodeName field selector"
            case "", "get" | "list" | "watch":
                runs = self._knows() and self._graph.pods.runs(node, attributes.namespace, attributes.name)
                return _nameless(attributes) or _related(runs)
        return _refused(attributes)

    def _named(self, node: str, resource: str, attributes: Attributes) -> str | None:
        """By the pods that name it."""
        return _related(self._knows() and self._graph.pods.needs(node, resource, attributes.namespace, attributes.name))

    def _knows(self) -> bool:
        return self._knowledge.is_loaded


def _related(is_related: bool) -> str | None:
    return "" if is_related else None


def _refused(attributes: Attributes) -> str:
    what = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    return f"a node cannot {attributes.verb} {what}"


def _nameless(attributes: Attributes) -> str:
    return "" if attributes.name else "No Object name found"


def _not_a_read(attributes: Attributes) -> str:
    """Of one object in a namespace, which a selector may name."""
    if attributes.verb not in _READ:
        return "can only read resources of this type"
    if attributes.subresource:
        return "cannot read subresource"
    if not attributes.namespace:
        return "can only read namespaced object of this type"
    return _nameless(attributes)


def _not_a_get(attributes: Attributes) -> str:
    if attributes.verb != "get":
        return "can only get individual resources of this type"
    if attributes.subresource:
        return "cannot get subresource"
    return _nameless(attributes)


def _lease(node: str, attributes: Attributes) -> str:
    if attributes.verb not in _KEEP:
        return "can only get, create, update, patch, or delete a node lease"
    if attributes.namespace != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if attributes.verb != "create" and attributes.name != node:  # that of a new one is in its body: for admission
        return "can only access node lease with the same name as the requesting node"
    return ""


def _csi_node(node: str, attributes: Attributes) -> str:
    if attributes.verb not in _KEEP:
        return "can only get, create, update, patch, or delete a CSINode"
    if attributes.subresource:
        return "cannot authorize CSINode subresources"
    if attributes.verb != "create" and attributes.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return ""
