"""What the objects of the core group mean: the rules that several daemons share, each in one place. Pure.

A rule of Kubernetes that more than one daemon must agree on (is this pod ready, what does it request, does it tolerate
that taint) belongs here; what only one daemon asks stays with it.
"""
