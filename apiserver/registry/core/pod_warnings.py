"""What a client is warned of in a pod, or in a template of pods, that is accepted (Kubernetes' pkg/api/pod/warnings.go)."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Final

from apimachinery import names, quantity
from apimachinery.fields import Path
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.core.node_warnings import node_warnings
from apiserver.registry.core.placement_warnings import placement_warnings

_BETA_ZONE: Final = "failure-domain.beta.kubernetes.io/"
_DEPRECATED_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    f"{_BETA_ZONE}region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    f"{_BETA_ZONE}zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_SECCOMP: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SYSCTLS: Final = 'non-functional in v1.11+; use the "sysctls" field instead'
_DEPRECATED_ANNOTATIONS: Final = {
    "seccomp.security.alpha.kubernetes.io/pod": _SECCOMP,
    "container.seccomp.security.alpha.kubernetes.io/": _SECCOMP,
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
    "container.apparmor.security.beta.kubernetes.io/": (
        'deprecated since v1.30; use the "appArmorProfile" field instead'
    ),
}
"""By key; a key that ends in a slash is a prefix."""
_WHOLE_BYTES: Final = ("memory", "ephemeral-storage")
_NO_POD: Final = "a null labelSelector results in matching no pod"


def name_warnings(name: str | None, use: str) -> Iterator[str]:
    """Of a name that ``use``, such as "the Pod's hostname", is made from."""
    if name and (fault := names.dns_label(name)) is not None:
        yield (
            f"metadata.name: this is used in {use}, which can result in surprising behavior; a DNS label is "
            f"recommended: [{fault}]"
        )


def maker_warnings(name: str | None, path: Path, template: v1.PodTemplateSpec | None) -> Iterator[str]:
    """Of an object with a name that makes pods from the template at ``path``."""
    yield from name_warnings(name, "Pod names and hostnames")
    if template is not None:
        yield from pod_warnings(path, template.metadata, template.spec)


def pod_warnings(path: Path, metadata: ObjectMeta, spec: v1.PodSpec) -> Iterator[str]:
    """Of the pod, or the template, at ``path``."""
    yield from _annotations(path / "metadata" / "annotations", metadata.annotations or {})
    path = path / "spec"
    for key in spec.node_selector or {}:
        if key in _DEPRECATED_LABELS:
            yield f"{(path / 'nodeSelector').key(key)}: {_DEPRECATED_LABELS[key]}"
    if spec.topology_spread_constraints or spec.affinity is not None:
        yield from _placement(path, spec)
    yield from placement_warnings(path, spec)
    yield from node_warnings(path, spec)
    addresses = [alias.ip for alias in spec.host_aliases or ()]
    for i in _repeated(addresses):
        yield f'{(path / "hostAliases")[i] / "ip"}: duplicate ip "{addresses[i]}"'
    secrets = [secret.name or "" for secret in spec.image_pull_secrets or ()]
    for i in _repeated(secrets):
        yield f'{(path / "imagePullSecrets")[i] / "name"}: duplicate name "{secrets[i]}"'
    yield from _fractions(path, "overhead", spec.overhead)
    for field, group in (("initContainers", spec.init_containers or ()), ("containers", spec.containers)):
        for i, container in enumerate(group):
            yield from _container(path, f"{field}[{i}]", container)
    yield from _ports(path, spec)
    if (spec.termination_grace_period_seconds or 0) < 0:
        place = path / "terminationGracePeriodSeconds"
        yield f"{place}: must be >= 0; negative values are invalid and will be treated as 1"


def _annotations(path: Path, annotations: dict[str, str]) -> Iterator[str]:
    for key in annotations:
        prefix = key[: key.find("/") + 1]
        for known in (key, prefix):
            if known in _DEPRECATED_ANNOTATIONS:
                yield f"{path.key(key)}: {_DEPRECATED_ANNOTATIONS[known]}"


def _placement(path: Path, spec: v1.PodSpec) -> Iterator[str]:
    for i, constraint in enumerate(spec.topology_spread_constraints or ()):
        place = (path / "topologySpreadConstraints")[i]
        yield from _label(place / "topologyKey", constraint.topology_key)
        if constraint.label_selector is None:
            yield f"{place / 'labelSelector'}: {_NO_POD}"
    affinity = spec.affinity or v1.Affinity()
    nodes = affinity.node_affinity or v1.NodeAffinity()
    path = path / "affinity"
    required = nodes.required_during_scheduling_ignored_during_execution or v1.NodeSelector()
    terms = path / "nodeAffinity" / "requiredDuringSchedulingIgnoredDuringExecution" / "nodeSelectorTerms"
    for i, term in enumerate(required.node_selector_terms):
        yield from _node_term(terms[i], term)
    preferred = path / "nodeAffinity" / "preferredDuringSchedulingIgnoredDuringExecution"
    for i, weighted in enumerate(nodes.preferred_during_scheduling_ignored_during_execution or ()):
        yield from _node_term(preferred[i] / "preference", weighted.preference)
    for field, pods in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if pods is not None:
            yield from _pod_terms(path / field, pods)


def _node_term(path: Path, term: v1.NodeSelectorTerm) -> Iterator[str]:
    for i, expression in enumerate(term.match_expressions or ()):
        yield from _label((path / "matchExpressions")[i] / "key", expression.key)


def _pod_terms(path: Path, pods: v1.PodAffinity | v1.PodAntiAffinity) -> Iterator[str]:
    required, preferred = (
        path / f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
    )  # fmt: skip
    terms = [
        (required[i], term) for i, term in enumerate(pods.required_during_scheduling_ignored_during_execution or ())
    ] + [
        (preferred[i] / "podAffinityTerm", weighted.pod_affinity_term)
        for i, weighted in enumerate(pods.preferred_during_scheduling_ignored_during_execution or ())
    ]
    for place, term in terms:
        if term.label_selector is None:
            yield f"{place / 'labelSelector'}: {_NO_POD}"
        yield from _label(place / "topologyKey", term.topology_key)


def _label(path: Path, key: str) -> Iterator[str]:
    if key in _DEPRECATED_LABELS:
        yield f"{path}: {key} is {_DEPRECATED_LABELS[key]}"


def _container(path: Path, place: str, container: v1.Container) -> Iterator[str]:
    variables = [variable.name for variable in container.env or ()]
    for i in _repeated(variables):
        yield (
            f'{(path / place / "env")[i]}: hides previous definition of "{variables[i]}", which may be dropped when '
            "using apply"
        )
    yield from _fractions(path, f"{place}.resources.limits", container.resources.limits)
    yield from _fractions(path, f"{place}.resources.requests", container.resources.requests)


def _fractions(path: Path, place: str, amounts: dict[str, str | int | float] | None) -> Iterator[str]:
    if not amounts:
        return
    for name in _WHOLE_BYTES:
        amount = amounts.get(name)
        if amount is not None and (number := quantity.parse(amount)) != number.to_integral_value():
            yield f'{(path / place).key(name)}: fractional byte value "{amount}" is invalid, must be an integer'


def _ports(path: Path, spec: v1.PodSpec) -> Iterator[str]:
    """Ports of one pod that are defined twice; those of init containers that end do not count."""
    lasting = [
        (f"{field}[{i}]", container)
        for field, group in (("containers", spec.containers), ("initContainers", spec.init_containers or ()))
        for i, container in enumerate(group)
        if field == "containers" or container.restart_policy == "Always"
    ]
    earlier: dict[Hashable, str] = {}
    for place, container in lasting:
        for i, port in enumerate(container.ports or ()):
            key = (port.container_port, port.protocol, port.host_port or 0, port.host_ip or "")
            first = earlier.setdefault(key, f"{place}.ports[{i}]")
            if first != f"{place}.ports[{i}]":
                yield f"{path}.{place}.ports[{i}]: duplicate port definition with {path}.{first}"


def _repeated(values: Iterable[str]) -> Iterator[int]:
    """The index of each value that has been there before."""
    earlier: set[str] = set()
    for i, value in enumerate(values):
        if value in earlier:
            yield i
        earlier.add(value)
