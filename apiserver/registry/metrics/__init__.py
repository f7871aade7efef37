"""The group ``metrics.k8s.io``: what nodes and pods use now. Found out when asked for, never stored."""
