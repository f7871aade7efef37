"""Runs the pods that are bound to this node, and tells the apiserver how they and the node fare.

Pods come from the apiserver and from a folder (``static_pods``); ``admission`` says which may run here. ``pod_workers``
gives each a task (``pod_worker``) that compares what is wanted with what the container runtime has (``plan``) and acts
on the difference. ``vitals`` knows from ``probes`` and ``hooks`` how running containers fare, ``status`` says what all
that looks like to a Kubernetes user. ``node`` and ``lease`` speak for the machine, ``network`` and ``routes`` connect
its pods, ``image_gc`` and ``eviction`` keep it from filling up, ``stats`` tells what is used, ``server`` lets people
look into it. ``runtime`` alone knows Docker.
"""
