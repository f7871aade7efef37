"""kube-proxy: makes every service's address answer on this node."""
