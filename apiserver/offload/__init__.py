"""Requests that would hold the event loop for too long are served by a second process.

    messages   what goes between the two: whole requests and whole answers, as bytes
    lane       the apiserver's side: starts the process when it is needed, ends it when it is not, and shares it fairly

The process is ``apiserver.offload_worker``: the same apiserver, with a connection to its parent instead of a port.

The second process has its own connection to etcd and its own caches, as any apiserver beside another has. So all that
a request needs is done there, from reading its body to the transaction, by the code that always does it.
"""

from apiserver.offload.lane import Lane

__all__ = ["Lane"]
