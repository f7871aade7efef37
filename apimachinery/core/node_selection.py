"""Which nodes a pod may run on, by ``nodeSelector`` and required node affinity.

Terms of a node selector are alternatives; within a term all requirements must hold, and a term without any matches
nothing. Rules of k8s.io/component-helpers/scheduling/corev1/nodeaffinity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import meta
from apimachinery.selectors import Requirement
from apimachinery.types.core_v1 import (
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
)


@dataclass(frozen=True, slots=True)
class NodeRequirements:
    """Requirements on a node's labels and its name, all of which must hold; hashable."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...] = ()

    def matches(self, node: Node) -> bool:
        labels = meta.labels_of(node)
        if not all(requirement.matches(labels) for requirement in self.labels):
            return False
        fields = {"metadata.name": meta.name_of(node)}
        return all(requirement.matches(fields) for requirement in self.fields)


def node_affinity(pod: Pod) -> NodeAffinity | None:
    return pod.spec.affinity.node_affinity if pod.spec.affinity else None


def requirements_of(term: NodeSelectorTerm) -> NodeRequirements | None:
    """None for a term without requirements, which matches no node."""
    if not term.match_expressions and not term.match_fields:
        return None
    return NodeRequirements(_requirements(term.match_expressions), _requirements(term.match_fields))


def selects(selector: NodeSelector, node: Node) -> bool:
    """Whether one of the selector's terms matches the node."""
    alternatives = [requirements_of(term) for term in selector.node_selector_terms]
    return any(requirements is not None and requirements.matches(node) for requirements in alternatives)


def pod_matches(pod: Pod, node: Node) -> bool:
    """Whether the node meets the pod's ``nodeSelector`` and what its node affinity requires."""
    labels = meta.labels_of(node)
    if any(labels.get(key) != value for key, value in (pod.spec.node_selector or {}).items()):
        return False
    affinity = node_affinity(pod)
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or selects(required, node)


def _requirements(expressions: Sequence[NodeSelectorRequirement] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(expression.key, expression.operator, frozenset(expression.values or ()))
        for expression in expressions or ()
    )
