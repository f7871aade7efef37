"""Role-based access control.

rules.py       policy rules made ready for questions
policy.py      the stored roles and bindings, by whom they are about
authorizer.py  what follows for a request
coverage.py    whether some rules allow all that others do
"""

from apiserver.authorization.rbac.authorizer import RBAC
from apiserver.authorization.rbac.coverage import describe, is_covered, missing
from apiserver.authorization.rbac.policy import GROUP, Policy, RoleKey, role_of

__all__ = ["GROUP", "RBAC", "Policy", "RoleKey", "describe", "is_covered", "missing", "role_of"]
