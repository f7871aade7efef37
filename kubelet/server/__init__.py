"""The kubelet's HTTPS server: what the apiserver asks of a node on behalf of people."""

from kubelet.server.app import kubelet_app
from kubelet.server.backend import Backend

__all__ = ["Backend", "kubelet_app"]
