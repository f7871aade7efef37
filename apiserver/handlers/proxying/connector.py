"""Which of the ways out a subresource takes: the kubelet's streams, or ``proxy``."""

import ssl
from collections.abc import Sequence

from apimachinery.types.core_v1 import Node
from apiserver.handlers.proxying.kubelet_streams import KubeletStreams
from apiserver.handlers.proxying.kubelets import Kubelets
from apiserver.handlers.proxying.proxies import Proxies
from apiserver.handlers.verbs import Call
from apiserver.registry.resources import Resources


class Connectors:
    """Serves every subresource that is somebody else's to answer."""

    def __init__(self, resources: Resources, tls: ssl.SSLContext | None) -> None:
        """``tls`` verifies the kubelets and shows them who asks; None leaves the kubelets out of reach."""
        self.kubelets = Kubelets(resources.store(Node), tls)
        self._streams, self._proxies = KubeletStreams(self.kubelets), Proxies(resources, self.kubelets)

    async def connect(self, call: Call, rest: Sequence[str]) -> None:
        """Raises ApiError if nothing has been answered yet."""
        if call.attributes.subresource == "proxy":
            await self._proxies.connect(call)
        else:
            await self._streams.connect(call)
