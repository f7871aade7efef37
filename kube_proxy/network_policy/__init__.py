"""NetworkPolicies on this node: who may begin a connection with which pod.

``plan`` resolves the cluster's policies to addresses (pure), ``rules`` writes that as packet filter rules and address
sets (pure), ``kernel`` is the one owner of these in the kernel, ``enforcer`` follows the API and keeps both the kernel
and the proxy's data plane in accordance with it, ``report`` says on the Node whether this host can.

It is a part of kube-proxy, not a daemon of its own, because half of the enforcement is the proxy's:

- In userspace mode a pod's connection to a service ends in the proxy, and the backend's node sees the address of the
  client's node. So the proxy judges, by the client's address and the backend that it would dial: both the client's
  egress and the backend's ingress, and chooses only among the backends that are allowed. A client with none is reset.
- Everything else is forwarded, between nodes or within the pods' bridge, and passes our chain in ``mangle FORWARD``
  with the pods' own addresses. ``mangle`` because ``filter`` has others: Docker and the kubelet accept pods' packets
  there, each at the head of the chain, and what is dropped before cannot be accepted by either. In iptables mode this
  includes connections to services: their destination is the endpoint by then.
- The bridge shows netfilter the packets between two pods of a node only where ``br_netfilter`` is loaded and
  ``bridge-nf-call-iptables`` is 1. Both are ensured. A host without it enforces nothing and says so.

Every node has the rules for all isolated pods, not only its own: the number of rules follows from the policies, pods are
members of sets. So a packet is judged where it leaves as well as where it arrives, and a client outside that iptables
mode masquerades is judged at the node that it enters by.

A node always reaches its own pods (probes), as Kubernetes demands; that is OUTPUT, which is not ours. Addresses of nodes
also reach the pods of others: these are proxies' connections, which their own node has judged. Not covered, therefore:
processes and host-network pods of another node, which no policy of Kubernetes selects, reach isolated pods. A pod that
forges packets from a node's address (Docker leaves it CAP_NET_RAW) never gets the answers. In iptables mode an isolated
pod that reaches itself through its service needs a policy that allows it. Pods have no IPv6.

Connections that exist when a policy arrives go on, replies always pass. Pods are isolated before they start: an address
in this node's pod CIDR that no pod has in the API counts as isolated, in the directions in which there are policies at
all. The kubelet reports a pod's address before it starts the containers, so that their first packets rarely meet that.

A proxy that stops leaves the rules, the next one adopts them; with the last policy they are removed. While a proxy is
away, new pods of its node stay isolated. While there is no policy, neither pods nor namespaces are watched and no packet
passes a rule of ours.
"""
