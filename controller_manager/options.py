"""The flags of kube-controller-manager."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from component_base.flags import group, option
from component_base.leader_election import LeaderElectionOptions, resource_name
from component_base.serving_options import ServingOptions, secure_port
from controller_manager import manager
from controller_manager.controller_options import ControllerOptions
from kube_client.config import check_kubeconfig

NAME: Final = "kube-controller-manager"


@dataclass(frozen=True, kw_only=True)
class ControllerManagerServing(ServingOptions):
    secure_port: int = secure_port(10257)


@dataclass(frozen=True, kw_only=True)
class ControllerManagerElection(LeaderElectionOptions):
    leader_elect_resource_name: str = resource_name(NAME)


@dataclass(frozen=True, kw_only=True)
class ControllerManagerOptions(ControllerOptions):
    kubeconfig: Path | None = option(
        None, "File that says how to reach the apiserver; the pod's service account without it."
    )
    controllers: tuple[str, ...] = option(
        ("*",), "Controllers to run: '*' is all, 'name' adds one, '-name' leaves one out."
    )
    use_service_account_credentials: bool = option(
        False, "Let each controller act as a service account of its own, with its rights alone."
    )
    serving: ControllerManagerServing = group("Serving", ControllerManagerServing)
    election: ControllerManagerElection = group("Leader election", ControllerManagerElection)

    def __post_init__(self) -> None:
        manager.enabled(self.controllers)
        check_kubeconfig(self.kubeconfig)
