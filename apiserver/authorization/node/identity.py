"""Which users are kubelets."""

from apimachinery.core.well_known import NODE_USER_PREFIX, NODES_GROUP
from apiserver.request import User


def node_of(user: User) -> str | None:
    """The node whose kubelet the user is, "" if it is none's in particular; None for everybody else."""
    if not user.name.startswith(NODE_USER_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name[len(NODE_USER_PREFIX) :]
