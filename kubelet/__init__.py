"""Runs the pods that are bound to this node, and tells the apiserver how they and the node fare.

Pods come in through ``pod_source``; ``pod_workers`` gives each a task (``pod_worker``) that compares what is wanted
with what the container runtime has (``plan``) and acts on the difference. ``status`` says what that looks like to a
Kubernetes user. ``node`` and ``lease`` speak for the machine, ``network`` and ``routes`` connect its pods, ``server``
lets people look into them. ``runtime`` alone knows Docker.
"""
