"""Authorization: every request is checked here once its user and attributes are known.

authorizer.py  what an authorizer is, several as one, and those without rules: AlwaysAllow, AlwaysDeny, system:masters
node/          what kubelets may ask for
rbac/          what stored roles and bindings allow
webhook.py     what another server says
"""

from apiserver.authorization.authorizer import (
    ALLOW,
    EVERYTHING,
    MASTERS,
    NO_OPINION,
    AlwaysAllow,
    AlwaysDeny,
    Authorizer,
    Decision,
    Masters,
    Rules,
    Union,
)

__all__ = [
    "ALLOW",
    "EVERYTHING",
    "MASTERS",
    "NO_OPINION",
    "AlwaysAllow",
    "AlwaysDeny",
    "Authorizer",
    "Decision",
    "Masters",
    "Rules",
    "Union",
]
