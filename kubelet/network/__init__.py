"""The pod network of this node: its bridge, its packet filter rules, and connections into a pod's namespace."""
