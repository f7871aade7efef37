"""How a machine becomes a node, in kubeadm's form.

``kube-token`` makes a bootstrap token and prints the command with which a machine joins; ``kube-join`` is that command:
it finds out whether the server is the cluster's, and writes what the machine's kubelet needs to do the rest itself.
"""
