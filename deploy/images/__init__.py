"""The images that a cluster needs where no registry can be reached.

They are put together from Debian's busybox and a few files in this folder, as archives that ``docker load``
reads. The same inputs give the same image ids, byte for byte, so an engine that has an image is left alone.
"""
