"""The built-in plugins: one module each, filters in the order in which they run (cheap and telling ones first)."""

from typing import Final

from scheduler.framework import Factory
from scheduler.plugins.balanced_allocation import BalancedAllocation
from scheduler.plugins.default_binder import DefaultBinder
from scheduler.plugins.least_allocated import LeastAllocated
from scheduler.plugins.node_affinity import NodeAffinity
from scheduler.plugins.node_name import NodeName
from scheduler.plugins.node_ports import NodePorts
from scheduler.plugins.node_resources_fit import NodeResourcesFit
from scheduler.plugins.node_unschedulable import NodeUnschedulable
from scheduler.plugins.selector_spread import SelectorSpread
from scheduler.plugins.taint_toleration import TaintToleration
from scheduler.plugins.volume_binding import VolumeBinding

BUILTIN: Final[dict[str, Factory]] = {
    "NodeUnschedulable": lambda handle: NodeUnschedulable(),
    "NodeName": lambda handle: NodeName(),
    "TaintToleration": lambda handle: TaintToleration(),
    "NodeAffinity": lambda handle: NodeAffinity(),
    "NodePorts": lambda handle: NodePorts(),
    "NodeResourcesFit": lambda handle: NodeResourcesFit(),
    "VolumeBinding": lambda handle: VolumeBinding(handle.client, handle.storage),
    "NodeResourcesLeastAllocated": lambda handle: LeastAllocated(),
    "NodeResourcesBalancedAllocation": lambda handle: BalancedAllocation(),
    "SelectorSpread": lambda handle: SelectorSpread(handle.services, handle.replication_controllers),
    "DefaultBinder": lambda handle: DefaultBinder(handle.client),
}
