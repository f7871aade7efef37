"""A cluster on one Linux host, for learning, teaching and testing.

Each node is a network namespace with its own Docker engine, kubelet and kube-proxy; etcd and the control plane run in
the master's namespace. The command is ``python -m deploy.lab``, which ``make up`` and similar targets call. The lab
starts real daemons and uses them only through the API.
"""
