"""The container runtime: Docker through its SDK. No other package imports ``docker``."""

from kubelet.runtime.config import Defaults, Mount, RunContainerOptions
from kubelet.runtime.engine import Engine
from kubelet.runtime.records import ContainerRecord
from kubelet.runtime.runtime import Runtime

__all__ = ["ContainerRecord", "Defaults", "Engine", "Mount", "RunContainerOptions", "Runtime"]
