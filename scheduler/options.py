"""The flags of kube-scheduler."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from component_base.flags import Options, group, option
from component_base.leader_election import LeaderElectionOptions, resource_name
from component_base.serving_options import ServingOptions, secure_port
from component_base.values import parse_int
from kube_client.config import check_kubeconfig
from scheduler.plugins import check_selection

NAME: Final = "kube-scheduler"


@dataclass(frozen=True, kw_only=True)
class SchedulerServing(ServingOptions):
    secure_port: int = secure_port(10259)


@dataclass(frozen=True, kw_only=True)
class SchedulerElection(LeaderElectionOptions):
    leader_elect_resource_name: str = resource_name(NAME)


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions(Options):
    kubeconfig: Path | None = option(
        None, "File that says how to reach the apiserver; the pod's service account without it."
    )
    scheduler_name: tuple[str, ...] = option(
        ("default-scheduler",), "Values of spec.schedulerName that this scheduler serves."
    )
    disabled_plugins: tuple[str, ...] = option((), "Plugins to leave out, by name.")
    plugin_weights: dict[str, str] = option({}, "Weight of a scoring plugin, by name; 0 silences it.")
    serving: SchedulerServing = group("Serving", SchedulerServing)
    election: SchedulerElection = group("Leader election", SchedulerElection)

    def __post_init__(self) -> None:
        if not self.scheduler_name:
            raise ValueError("--scheduler-name: must not be empty")
        check_selection(self.disabled_plugins, self.weights())
        check_kubeconfig(self.kubeconfig)

    def weights(self) -> dict[str, int]:
        """Raises ValueError if one is not a whole number."""
        weights = {}
        for name, weight in self.plugin_weights.items():
            try:
                weights[name] = parse_int(weight)
            except ValueError as exc:
                raise ValueError(f"--plugin-weights: {name}: {exc}") from exc
        return weights
