"""Runs the pods that are bound to this node, and reports their state and the node's to the apiserver.

Where to look, from the top down; imports lead downwards only:

- ``server``: what the apiserver requests of the node: logs, exec, port-forward, metrics
- ``resources``: what pods use of the node; eviction and garbage collection before it runs out
- ``pods``: which pods run here, a worker for each, and their status
- ``containers``: how one container gets its image, configuration and files, and starts
- ``probes``: how containers are checked
- ``volumes``: the types of volumes that pods mount
- ``references``: what a pod's spec refers to: config maps, secrets, tokens, its own fields
- ``node``: this machine as a Node object
- ``network``: the pod network of this node
- ``runtime``: the container engine; nothing else knows Docker
"""
