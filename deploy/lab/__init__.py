"""A cluster on one Linux host, for learning, teaching and testing.

Each node is a network namespace with a Docker engine, a kubelet and a kube-proxy of its own; etcd and the
control plane live in the master's namespace. ``python -m deploy.lab`` is the command, ``make up`` and its
siblings call it. The lab starts real daemons and talks to them through the API; it shares no code with them.
"""
