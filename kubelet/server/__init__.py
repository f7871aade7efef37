"""The kubelet's HTTPS server: logs, exec, port-forward and metrics, which the apiserver requests on behalf of users."""

from kubelet.server.access import AlwaysAllow, KubeletAccess
from kubelet.server.app import kubelet_app
from kubelet.server.backend import Backend

__all__ = ["AlwaysAllow", "Backend", "KubeletAccess", "kubelet_app"]
