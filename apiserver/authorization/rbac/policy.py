"""The stored roles and bindings, by whom they are about.

    role -> table of its rules, made when first asked
    binding -> grants of a subject, in a namespace or everywhere

A change costs what it changes. A question looks into the tables of the user's roles; who has many roles and is asked about
often gets one table of all of them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from apimachinery import meta
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from apiserver.authorization.rbac.rules import Table, compiled
from apiserver.request import Attributes, User

GROUP: Final = "rbac.authorization.k8s.io"
_ACCOUNT: Final = "system:serviceaccount"
_FEW: Final = 8
"""Roles of one holder that are asked one by one."""
_OFTEN: Final = 32
"""Questions after which more roles than that get one table: what is about as much work as making it."""
_MERGED: Final = 128
"""Tables of that sort."""

AnyRole = TypeVar("AnyRole", Role, ClusterRole)
AnyBinding = TypeVar("AnyBinding", RoleBinding, ClusterRoleBinding)


class RoleKey(NamedTuple):
    """A role as bindings refer to it."""

    kind: str
    namespace: str
    """"" for cluster roles."""
    name: str

    @property
    def missing(self) -> str:
        """What Kubernetes says where it is bound but does not exist."""
        return f'{self.kind.lower()}.{GROUP} "{self.name}" not found'


class Holder(NamedTuple):
    """A subject, where it holds roles."""

    namespace: str
    """"" for everywhere, by cluster role bindings."""
    kind: str
    """User or Group; a service account is the user that it is authenticated as."""
    name: str


class _Grants:
    """The roles of one holder."""

    __slots__ = ("asked", "roles", "table")

    def __init__(self) -> None:
        self.roles: dict[RoleKey, dict[str, str]] = {}
        """With the bindings of each by their keys in storage, and what an allowed request is told of them."""
        self.table: Table[RoleKey] | None = None
        """Of all roles together."""
        self.asked = 0
        """How often since something changed."""

    def changed(self) -> None:
        self.table, self.asked = None, 0


class _StoredRole:
    __slots__ = ("rules", "table")

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        self.rules = rules
        self.table: Table[RoleKey] | None = None


class _Bound(NamedTuple):
    """What a binding contributes."""

    role: RoleKey
    reasons: dict[Holder, str]


class Policy:
    """To be kept up to date through its four parts."""

    def __init__(self) -> None:
        self._roles: dict[RoleKey, _StoredRole] = {}
        self._grants: dict[tuple[str, str, str], _Grants] = {}
        self._holders: dict[RoleKey, dict[Holder, None]] = {}
        """Of each role that is bound, whether it exists or not."""
        self._missing: set[RoleKey] = set()
        """Roles that are bound and do not exist."""
        self._merged: OrderedDict[_Grants, None] = OrderedDict()
        """Those with a table of their own, the one that was asked last at the end."""
        self.roles = Roles[Role](self, "Role")
        self.cluster_roles = Roles[ClusterRole](self, "ClusterRole")
        self.role_bindings = Bindings[RoleBinding](self)
        self.cluster_role_bindings = Bindings[ClusterRoleBinding](self)

    # -- reading

    def allows(self, attributes: Attributes) -> str | None:
        """By which binding, in Kubernetes' words; None if by none. Those that hold everywhere come first."""
        resource, subresource = attributes.resource, attributes.subresource
        verb, group, name = attributes.verb, attributes.group, attributes.name
        for grants in self._of(attributes.user, attributes.namespace):
            for table in self._tables(grants):
                role = (
                    table.resource(verb, group, resource, subresource, name)
                    if resource
                    else table.path(verb, attributes.path)
                )
                if role is not None:
                    return next(iter(grants.roles[role].values()))
        return None

    def rules_of(self, user: User, namespace: str) -> list[PolicyRule]:
        """All rules of the user's roles there."""
        return [rule for role in self._roles_of(user, namespace) for rule in self.rules(role) or ()]

    def missing_roles(self, user: User, namespace: str) -> list[str]:
        """What is wrong with the user's bindings there: roles that do not exist."""
        if not self._missing:
            return []
        return [role.missing for role in self._roles_of(user, namespace) if role in self._missing]

    def rules(self, role: RoleKey) -> Sequence[PolicyRule] | None:
        """None if there is no such role."""
        stored = self._roles.get(role)
        return stored.rules if stored is not None else None

    def _roles_of(self, user: User, namespace: str) -> Iterable[RoleKey]:
        return dict.fromkeys(role for grants in self._of(user, namespace) for role in grants.roles)

    def _of(self, user: User, namespace: str) -> Iterator[_Grants]:
        get = self._grants.get
        for where in ("", namespace) if namespace else ("",):
            if (grants := get((where, "User", user.name))) is not None:
                yield grants
            for group in user.groups:
                if (grants := get((where, "Group", group))) is not None:
                    yield grants

    def _tables(self, grants: _Grants) -> Iterable[Table[RoleKey]]:
        if len(grants.roles) <= _FEW:
            return self._tables_of(grants.roles)
        if grants.table is None:
            grants.asked += 1
            if grants.asked < _OFTEN:
                return self._tables_of(grants.roles)
            grants.table = self._merge(grants.roles)
            self._merged[grants] = None
            if len(self._merged) > _MERGED:
                self._merged.popitem(last=False)[0].changed()
        self._merged.move_to_end(grants)
        return (grants.table,)

    def _tables_of(self, roles: Iterable[RoleKey]) -> Iterator[Table[RoleKey]]:
        for role in roles:
            if (stored := self._roles.get(role)) is not None:
                if stored.table is None:
                    stored.table = self._merge((role,))
                yield stored.table

    def _merge(self, roles: Iterable[RoleKey]) -> Table[RoleKey]:
        table = Table[RoleKey]()
        for role in roles:
            table.add(map(compiled, self.rules(role) or ()), role)
        return table

    # -- changing

    def put_role(self, role: RoleKey, rules: Sequence[PolicyRule]) -> None:
        before = self._roles.get(role)
        if before is None or before.rules != rules:
            self._roles[role] = _StoredRole(rules)
            self._missing.discard(role)
            self._role_changed(role)

    def drop_role(self, role: RoleKey) -> None:
        del self._roles[role]
        if role in self._holders:
            self._missing.add(role)
        self._role_changed(role)

    def bind(self, key: str, bound: _Bound) -> None:
        role = bound.role
        for holder, reason in bound.reasons.items():
            grants = self._grants.setdefault(holder, _Grants())
            grants.roles.setdefault(role, {})[key] = reason
            self._changed(grants)
            self._holders.setdefault(role, {})[holder] = None
        if role in self._holders and role not in self._roles:
            self._missing.add(role)

    def unbind(self, key: str, bound: _Bound) -> None:
        role = bound.role
        for holder in bound.reasons:
            grants = self._grants[holder]
            self._changed(grants)
            del grants.roles[role][key]
            if not grants.roles[role]:
                del grants.roles[role]
                del self._holders[role][holder]
            if not grants.roles:
                del self._grants[holder]
        if not self._holders.get(role, True):
            del self._holders[role]
            self._missing.discard(role)

    def _role_changed(self, role: RoleKey) -> None:
        for holder in self._holders.get(role, ()):
            self._changed(self._grants[holder])

    def _changed(self, grants: _Grants) -> None:
        grants.changed()
        self._merged.pop(grants, None)


class Roles(Generic[AnyRole]):
    """The part of a policy that its roles or its cluster roles are, by their keys in storage."""

    def __init__(self, policy: Policy, kind: str) -> None:
        self._policy, self._kind = policy, kind
        self._roles: dict[str, RoleKey] = {}

    def clear(self) -> None:
        for key in list(self._roles):
            self.drop(key)

    def put(self, key: str, role: AnyRole) -> None:
        self._roles[key] = of = RoleKey(self._kind, meta.namespace_of(role), meta.name_of(role))
        self._policy.put_role(of, role.rules or ())

    def drop(self, key: str) -> None:
        if (role := self._roles.pop(key, None)) is not None:
            self._policy.drop_role(role)


class Bindings(Generic[AnyBinding]):
    """The part of a policy that its role bindings or its cluster role bindings are, by their keys in storage."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._bound: dict[str, _Bound] = {}

    def clear(self) -> None:
        for key in list(self._bound):
            self.drop(key)

    def put(self, key: str, binding: AnyBinding) -> None:
        bound = _bound(binding)
        before = self._bound.get(key)
        if before == bound:
            return
        if before is not None:
            self._policy.unbind(key, before)
        self._bound[key] = bound
        self._policy.bind(key, bound)

    def drop(self, key: str) -> None:
        if (bound := self._bound.pop(key, None)) is not None:
            self._policy.unbind(key, bound)


def role_of(binding: RoleBinding | ClusterRoleBinding) -> RoleKey:
    """The role that a binding refers to."""
    ref = binding.role_ref
    return RoleKey(ref.kind, meta.namespace_of(binding) if ref.kind == "Role" else "", ref.name)


def _bound(binding: RoleBinding | ClusterRoleBinding) -> _Bound:
    namespace, name, role = meta.namespace_of(binding), meta.name_of(binding), role_of(binding)
    which = f"{name}/{namespace}" if namespace else name
    allowed = f'RBAC: allowed by {binding.kind} "{which}" of {role.kind} "{role.name}" to '
    reasons: dict[Holder, str] = {}
    for subject in binding.subjects or ():
        holder = _holder(subject, namespace)
        if holder is not None:
            reasons.setdefault(holder, f'{allowed}{subject.kind} "{_subject(subject, namespace)}"')
    return _Bound(role, reasons)


def _holder(subject: Subject, namespace: str) -> Holder | None:
    if subject.kind != "ServiceAccount":
        return Holder(namespace, subject.kind, subject.name)
    of = subject.namespace or namespace  # a role binding's own, where it names none
    return Holder(namespace, "User", f"{_ACCOUNT}:{of}:{subject.name}") if of else None


def _subject(subject: Subject, namespace: str) -> str:
    return f"{subject.name}/{subject.namespace or namespace}" if subject.kind == "ServiceAccount" else subject.name
