"""The images that a cluster without a registry needs.

They are built from Debian's busybox and a few files in this folder, as archives for ``docker load``. The same inputs
give the same image ids, byte for byte, so an engine that has an image need not load it again.
"""
