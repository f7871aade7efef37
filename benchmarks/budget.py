"""What must be reached: each piece of work, the peer's figure, and the ratio asked for.

The peers' figures were measured on a machine with two cores of the same kind. Where the peer is measured in the
same run, its fresh figure takes their place: a ratio of two figures from one machine and one hour is the only one
that means much.
"""

from dataclasses import dataclass

APISERVER = "kube-apiserver 1.20"
PROXY = "Go userspace proxy"


@dataclass(frozen=True)
class Goal:
    """``factor`` times the peer's figure: at least, or at most where ``at_most``."""

    title: str
    unit: str
    peer: str
    peer_figure: float | None
    """None where only a figure of the same run can be compared."""
    factor: float
    at_most: bool = False

    def target(self, measured_peer: float | None = None) -> float | None:
        """The figure to reach, in ``unit``."""
        peer = self.peer_figure if measured_peer is None else measured_peer
        return None if peer is None else peer * self.factor

    def reached(self, value: float, measured_peer: float | None = None) -> bool | None:
        target = self.target(measured_peer)
        if target is None:
            return None
        return value <= target if self.at_most else value >= target


GOALS = {
    "get": Goal("GET one object", "/s", APISERVER, 3700, 1.5),
    # 77 to 100/s were measured; the middle is used
    "list": Goal("LIST 500 pods", "/s", APISERVER, 88, 4),
    "list-gzip": Goal("LIST 500 pods, gzip", "/s", APISERVER, 91, 10),
    "post": Goal("POST a pod", "/s", APISERVER, 1450, 1),
    "fanout-cpu": Goal("watch fan-out, server CPU per event", "us", APISERVER, 40, 0.5, at_most=True),
    "fanout-p50": Goal("watch fan-out, delivery p50", "ms", APISERVER, 26, 0.5, at_most=True),
    "fanout-p99": Goal("watch fan-out, delivery p99", "ms", APISERVER, 39, 0.5, at_most=True),
    "cached": Goal("10,000 pods in the watch cache", "MB", "the budget", 250, 1, at_most=True),
    "dns": Goal("DNS, cached answers on one core", "/s", "the budget", 10_000, 1),
    "schedule": Goal("schedule pods", "/s", "kube-scheduler 1.20", 300, 2),
    "service-new": Goal("service, new connections", "/s", PROXY, 4000, 1.25),
    "service-keepalive": Goal("service, keep-alive requests", "/s", PROXY, 32000, 1),
    "service-bulk": Goal("service, bulk", "GB/s", PROXY, 1.1, 1),
    "pod-start": Goal("pod start, one by one, p50", "s", "docker run of two containers", 0.38, 1.5, at_most=True),
    "pods-at-once": Goal("pods started at once, last one", "s", "docker run, as many at once", None, 1.5, at_most=True),
    "kubelet-idle": Goal("kubelet, CPU with 100 idle pods", "%", "the budget", 3, 1, at_most=True),
    "memory": Goal(
        "idle control plane memory (RSS)",
        "MB",
        "kube-apiserver, scheduler and controller-manager",
        479,
        0.5,
        at_most=True,
    ),
}
