"""What is accepted of a pod's wishes where to run, and that this cluster's scheduler does not act upon."""

from collections.abc import Iterator
from typing import Final

from apimachinery.fields import Path
from apimachinery.types import core_v1 as v1

_DEFAULT_SCHEDULER: Final = "default-scheduler"
_IGNORED: Final = "has no effect: the default scheduler does not act upon it"
PREEMPTS: Final = "PreemptLowerPriority"
NO_PREEMPTION: Final = f"{PREEMPTS} has no effect: the default scheduler does not preempt pods"


def placement_warnings(path: Path, spec: v1.PodSpec) -> Iterator[str]:
    """Of a pod spec at ``path``. Another scheduler may act upon all of it."""
    if (spec.scheduler_name or _DEFAULT_SCHEDULER) != _DEFAULT_SCHEDULER:
        return
    affinity = spec.affinity or v1.Affinity()
    if affinity.pod_affinity is not None:
        yield f"{path / 'affinity' / 'podAffinity'}: {_IGNORED}"
    if affinity.pod_anti_affinity is not None:
        yield f"{path / 'affinity' / 'podAntiAffinity'}: {_IGNORED}"
    if spec.topology_spread_constraints:
        yield f"{path / 'topologySpreadConstraints'}: {_IGNORED}"
    if spec.scheduling_group is not None:
        yield f"{path / 'schedulingGroup'}: {_IGNORED}"
    # every pod has the policy of its class, which says something only above the priority that pods have without one
    if spec.preemption_policy == PREEMPTS and (spec.priority is None or spec.priority > 0):
        yield f"{path / 'preemptionPolicy'}: {NO_PREEMPTION}"
