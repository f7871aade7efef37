"""Admission by the Pod Security Standards, as the labels of a pod's namespace ask for.

levels.py         levels, versions, and the policy that a namespace's labels state
checks.py         what all checks share, and those of level baseline
restricted.py     those that level restricted adds
standard.py       which checks a level has in which version
configuration.py  defaults and exemptions
plugin.py         the admission plugin
"""
