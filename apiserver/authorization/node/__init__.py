"""The node authorizer: a kubelet may read and write what the pods on its node take, and nothing of other nodes.

identity.py    which users are kubelets
graph.py       what each node needs by its pods, volumes and attachments
authorizer.py  what follows for a request
"""

from apiserver.authorization.node.authorizer import NodeAuthorizer
from apiserver.authorization.node.graph import Graph
from apiserver.authorization.node.identity import node_of

__all__ = ["Graph", "NodeAuthorizer", "node_of"]
