"""Probes of containers: the checks (``checks``), how their results count (``counter``), and when they run (``pod_probes``)."""

from kubelet.probes.checks import Checks, Outcome
from kubelet.probes.pod_probes import Failure, PodProbes

__all__ = ["Checks", "Failure", "Outcome", "PodProbes"]
