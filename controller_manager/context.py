"""What a controller is, and what it is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from apimachinery import scheme
from apimachinery.types.objects import KubeObject
from controller_manager.accounts import Accounts
from controller_manager.controller_options import ControllerOptions
from kube_client import Client, EventRecorder, Informer, InformerFactory
from kube_client.informer import Index

T = TypeVar("T", bound=KubeObject)


class Controller(Protocol):
    async def run(self) -> None:
        """Work until cancelled. Called while leading, once all informers are complete."""
        ...


@dataclass(frozen=True)
class ControllerContext:
    """What controllers share. Informers read as the controller manager.

    They run whether this process leads or not, so that a new leader starts with complete copies.
    """

    client: Client
    informers: InformerFactory
    recorder: EventRecorder
    options: ControllerOptions
    accounts: Accounts | None = None
    """As whom the controllers act; None: as the controller manager."""

    def acting_as(self, account: str) -> "ControllerContext":
        """The context of a controller that writes as a service account; an empty name is the manager itself."""
        if self.accounts is None or not account:
            return self
        return replace(self, client=self.accounts.client(account))

    def informer(
        self,
        type: type[T],
        *,
        served_as: scheme.Resource | None = None,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexes: Mapping[str, Index[T]] | None = None,
    ) -> Informer[T]:
        """The informer of a type's objects, shared with all controllers; see ``InformerFactory.informer``."""
        return self.informers.informer(
            type,
            served_as=served_as,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            indexes=indexes,
        )
