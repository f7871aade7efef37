"""What a Kubernetes API object is: its types, its schema, and the rules that hold for all of them.

Nothing here does I/O, and nothing here imports another package of Peapod.
"""
