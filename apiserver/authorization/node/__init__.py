"""The node authorizer: a kubelet may read and write what the pods on its node take, and nothing of other nodes."""
