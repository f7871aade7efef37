"""What the objects of the core group mean: the rules that several daemons share. Pure.

A rule on which more than one daemon must agree (is this pod ready, what does it request, does it tolerate that taint)
belongs here; a rule that only one daemon uses stays with that daemon.
"""
