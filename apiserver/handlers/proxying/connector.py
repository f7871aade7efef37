"""Where a connecting subresource leads: to the kubelet's streams, or to ``proxy``."""

from collections.abc import Sequence

from apimachinery.types.core_v1 import Node
from apiserver.handlers.proxying.kubelet_streams import KubeletStreams
from apiserver.handlers.proxying.kubelets import Kubelets
from apiserver.handlers.proxying.proxies import Proxies
from apiserver.handlers.verbs import Call
from apiserver.registry.resources import Resources
from component_base.tls import RenewedContext


class Connectors:
    """Serves every subresource that leads to a kubelet, or to the object itself."""

    def __init__(self, resources: Resources, tls: RenewedContext | None, own_port: int) -> None:
        """``tls`` verifies the kubelets and identifies this server to them; None makes them unreachable."""
        self.kubelets = Kubelets(resources.store(Node), tls, own_port)
        self._streams, self._proxies = KubeletStreams(self.kubelets), Proxies(resources, self.kubelets)

    async def connect(self, call: Call, rest: Sequence[str]) -> None:
        """Raises ApiError unless an answer has begun."""
        if call.attributes.subresource == "proxy":
            await self._proxies.connect(call)
        else:
            await self._streams.connect(call)
