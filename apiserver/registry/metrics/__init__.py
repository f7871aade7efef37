"""The group ``metrics.k8s.io``: what nodes and pods use now. Computed on request, never stored."""
