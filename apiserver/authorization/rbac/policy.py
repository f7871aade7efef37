"""The stored roles and bindings, by whom they are about.

    role ------+
    binding ---+-> grants of a subject, in a namespace or everywhere -> table of all their rules, made when first asked

A change of a binding costs its subjects their tables, and a change of a role all who have it; nobody else. What is asked
then costs a few look-ups, however many roles and bindings there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from apimachinery import meta
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from apiserver.authorization.authorizer import Decision
from apiserver.authorization.rbac.rules import Rule, Table, compiled
from apiserver.request import User

GROUP: Final = "rbac.authorization.k8s.io"
_ACCOUNT: Final = "system:serviceaccount"

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

    __slots__ = ("roles", "table")

    def __init__(self) -> None:
        self.roles: dict[RoleKey, dict[str, str]] = {}
        """With the bindings of each by their keys in storage, and what an allowed request is told of them."""
        self.table: Table[Decision] | None = None
        """What they allow together; None until it is asked."""


class _Bound(NamedTuple):
    """What a binding contributes."""

    role: RoleKey
    reasons: dict[Holder, str]


class Policy:
    """To be kept up to date through its four parts."""

    def __init__(self) -> None:
        self._rules: dict[RoleKey, tuple[Sequence[PolicyRule], Sequence[Rule]]] = {}
        self._grants: dict[tuple[str, str, str], _Grants] = {}
        self._holders: dict[RoleKey, dict[Holder, None]] = {}
        self.roles = Roles[Role](self, "Role")
        self.cluster_roles = Roles[ClusterRole](self, "ClusterRole")
        self.role_bindings = Bindings[RoleBinding](self)
        self.cluster_role_bindings = Bindings[ClusterRoleBinding](self)

    # -- reading

    def tables(self, user: User, namespace: str) -> Iterator[Table[Decision]]:
        """What the user's roles allow there: those that hold everywhere first. ``namespace`` may be empty."""
        for grants in self._of(user, namespace):
            table = grants.table
            if table is None:
                table = grants.table = self._table(grants)
            yield table

    def rules_of(self, user: User, namespace: str) -> list[PolicyRule]:
        """All rules of the user's roles there."""
        return [rule for role in self._roles_of(user, namespace) for rule in self.rules(role) or ()]

    def missing_roles(self, user: User, namespace: str) -> list[str]:
        """What is wrong with the user's bindings there: roles that do not exist."""
        return [role.missing for role in self._roles_of(user, namespace) if role not in self._rules]

    def rules(self, role: RoleKey) -> Sequence[PolicyRule] | None:
        """None if there is no such role."""
        stored = self._rules.get(role)
        return stored[0] if stored is not None else None

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

    def _table(self, grants: _Grants) -> Table[Decision]:
        table = Table[Decision]()
        for role, reasons in grants.roles.items():
            if (stored := self._rules.get(role)) is not None:
                table.add(stored[1], Decision("allow", next(iter(reasons.values()))))
        return table

    # -- changing

    def put_role(self, role: RoleKey, rules: Sequence[PolicyRule]) -> None:
        before = self._rules.get(role)
        if before is None or before[0] != rules:
            self._rules[role] = (rules, [compiled(rule) for rule in rules])
            self._forget_tables(role)

    def drop_role(self, role: RoleKey) -> None:
        del self._rules[role]
        self._forget_tables(role)

    def bind(self, key: str, bound: _Bound) -> None:
        for holder, reason in bound.reasons.items():
            grants = self._grants.setdefault(holder, _Grants())
            grants.roles.setdefault(bound.role, {})[key] = reason
            grants.table = None
            self._holders.setdefault(bound.role, {})[holder] = None

    def unbind(self, key: str, bound: _Bound) -> None:
        for holder in bound.reasons:
            grants = self._grants[holder]
            grants.table = None
            reasons = grants.roles[bound.role]
            del reasons[key]
            if not reasons:
                del grants.roles[bound.role]
                del self._holders[bound.role][holder]
            if not grants.roles:
                del self._grants[holder]
        if not self._holders.get(bound.role, True):
            del self._holders[bound.role]

    def _forget_tables(self, role: RoleKey) -> None:
        for holder in self._holders.get(role, ()):
            self._grants[holder].table = None


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
