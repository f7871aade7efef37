"""The kernel's table of UDP flows: which entries are stale, and their removal."""

from kube_proxy.conntrack.flows import UdpFlows
from kube_proxy.conntrack.stale import Claim, Claims, Target
from kube_proxy.conntrack.table import ConntrackError

__all__ = ["Claim", "Claims", "ConntrackError", "Target", "UdpFlows"]
