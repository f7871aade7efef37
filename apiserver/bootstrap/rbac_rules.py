"""How the default policy is written down: a rule in one line, a role by its name.

Words are separated by spaces. Lists come out sorted, as Kubernetes has them.
"""

from dataclasses import dataclass, field
from typing import Final

from apimachinery.types.rbac_v1 import PolicyRule

READ: Final = "get list watch"
WRITE: Final = "create delete deletecollection patch update"
CORE: Final = "core"
"""The core group."""
CHANGE: Final = "create patch update"


def rule(verbs: str, resources: str, groups: str = CORE, *, names: str = "") -> PolicyRule:
    return PolicyRule(
        verbs=sorted(verbs.split()),
        api_groups=sorted("" if group == CORE else group for group in groups.split()),
        resources=sorted(resources.split()),
        resource_names=sorted(names.split()) or None,
    )


def urls(verbs: str, paths: str) -> PolicyRule:
    """A rule about paths that are no resources."""
    return PolicyRule(verbs=sorted(verbs.split()), non_resource_urls=sorted(paths.split()))


def events() -> PolicyRule:
    """For everything that records events."""
    return rule(CHANGE, "events", "core events.k8s.io")


@dataclass(frozen=True)
class DefaultRole:
    """A cluster role; ``part_of`` and ``whole`` are what it is aggregated to and from (admin, edit, view)."""

    name: str
    rules: tuple[PolicyRule, ...] = ()
    part_of: str = ""
    whole: str = ""
    subjects: tuple[str, ...] | None = field(default=None)
    """Its subjects: ``group:name``, ``user:name``, ``account:name`` (of kube-system). None: no binding."""
