"""The flags of leader election, as in Kubernetes' component-base; ``kube_client.run_elected`` acts on them.

A daemon derives its own class to have its own Lease:

    @dataclass(frozen=True, kw_only=True)
    class SchedulerElection(LeaderElectionOptions):
        leader_elect_resource_name: str = resource_name("kube-scheduler")
"""

from dataclasses import dataclass
from typing import Any

from component_base.flags import option
from component_base.values import OBJECT_NAME, PERIOD, Duration


def resource_name(default: str) -> Any:
    """The flag ``--leader-elect-resource-name``, with a daemon's own default."""
    return option(default, "Name of the Lease.", type=OBJECT_NAME)


@dataclass(frozen=True, kw_only=True)
class LeaderElectionOptions:
    leader_elect: bool = option(True, "Run leader election, and act only while leading.")
    leader_elect_lease_duration: Duration = option("15s", "How long others wait for a silent leader.", type=PERIOD)
    leader_elect_renew_deadline: Duration = option("10s", "How long the leader tries to renew.", type=PERIOD)
    leader_elect_retry_period: Duration = option("2s", "Time between attempts.", type=PERIOD)
    leader_elect_resource_name: str = resource_name("leader")
    leader_elect_resource_namespace: str = option("kube-system", "Namespace of the Lease.", type=OBJECT_NAME)

    def __post_init__(self) -> None:
        if not self.leader_elect:
            return
        if self.leader_elect_renew_deadline <= self.leader_elect_retry_period:
            raise ValueError("--leader-elect-renew-deadline: must be greater than --leader-elect-retry-period")
        if self.leader_elect_lease_duration <= self.leader_elect_renew_deadline:
            raise ValueError("--leader-elect-lease-duration: must be greater than --leader-elect-renew-deadline")
