"""The pods of this node: which may run here, a worker for each, and what the API is told about them.

``workers`` has one ``worker`` per pod, which compares what is wanted with its containers (``plan``) and takes the next
step; ``admission`` and ``sysctls`` say which pods may run, ``status`` and ``conditions`` how a pod looks to a
Kubernetes user, and ``status_manager`` writes that to the API. Pods come from the API and from a folder (``static_pods``).
"""
