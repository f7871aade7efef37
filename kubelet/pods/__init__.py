"""The pods of this node: which may run here, a worker for each, and their status in the API.

``workers`` has one ``worker`` per pod, which compares the pod as it should be with its containers (``plan``) and takes
the next step; ``admission`` and ``sysctls`` decide which pods may run, ``status`` and ``conditions`` compute the status
of a pod, and ``status_manager`` writes it to the API. Pods come from the API and from a folder (``static_pods``).
"""
