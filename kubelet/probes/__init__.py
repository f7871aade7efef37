"""Probes of containers: what is asked (``checks``), how answers count (``counter``), and when (``pod_probes``)."""

from kubelet.probes.checks import Checks, Outcome
from kubelet.probes.pod_probes import Failure, PodProbes

__all__ = ["Checks", "Failure", "Outcome", "PodProbes"]
