"""The objects of a new cluster, created by the apiservers themselves.

``cluster`` says in which order; each sort of object has a module of its own: the service ``kubernetes`` with its
endpoints, priority classes, roles and bindings, flow schemas and priority levels, local API services.
"""

from apiserver.bootstrap.cluster import Bootstrap

__all__ = ["Bootstrap"]
