"""The pod network of this node, and connections from within a pod's network namespace."""
