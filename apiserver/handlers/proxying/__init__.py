"""Requests that others answer: kubelets (logs, exec, ...), and what pods, services and nodes serve themselves."""

from apiserver.handlers.proxying.connector import Connectors

__all__ = ["Connectors"]
