"""Volumes: one module per type behind one small interface (``plugin``), set up per pod and removed with it."""

from kubelet.volumes.plugin import VolumeError
from kubelet.volumes.volumes import Volumes

__all__ = ["VolumeError", "Volumes"]
