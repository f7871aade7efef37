"""One container: how it gets its image, configuration and files, how it starts, and what it leaves behind.

``starter`` puts it together from ``images``, ``environment``, ``etc_files`` and the pod's volumes; ``hooks`` run after
its start and before its end; ``termination_message`` reads its last words.
"""
