"""Kubernetes' pod security standards: what a pod may ask of its node, by level and by version of the standard.

    levels         levels, versions, and the policy that a namespace's labels ask for
    baseline       the checks that prevent known escalations, one function each
    restricted     the checks of hardening, one function each
    standard       which check applies at which level and version
    configuration  defaults and exemptions
    plugin         the admission plugin

Checks are pure. Their words are those of k8s.io/pod-security-admission.
"""
