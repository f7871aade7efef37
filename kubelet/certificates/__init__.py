"""The kubelet's own certificates: requested from the cluster, kept in files, renewed before they expire.

Everything that a restart needs is in the files, so a kubelet may end at any moment: a request that was made is found
again by its key, and a certificate counts from the moment when the link to it is replaced.
"""
