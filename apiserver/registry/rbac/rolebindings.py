"""Role bindings and cluster role bindings: who has a role."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from apimachinery import codec, names
from apimachinery.fields import FieldError, Path
from apimachinery.names import NameRule
from apimachinery.types.rbac_v1 import ClusterRoleBinding, RoleBinding, Subject
from apiserver.authorization.rbac import GROUP
from apiserver.registry import columns
from apiserver.registry.columns import Column, wide
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

Binding = TypeVar("Binding", RoleBinding, ClusterRoleBinding)

KINDS: Final = ("Group", "ServiceAccount", "User")


class BindingKind(Strategy[Binding]):
    """Both kinds; they differ in what they may refer to, and in whether a service account's namespace is implied."""

    name_rule: NameRule = staticmethod(names.path_segment)
    allow_create_on_update = True

    def __init__(self, roles: tuple[str, ...], *, namespaced: bool) -> None:
        self._roles, self._namespaced = roles, namespaced

    def default(self, obj: Binding) -> None:
        obj.role_ref.api_group = obj.role_ref.api_group or GROUP
        for subject in obj.subjects or ():
            if subject.kind in ("Group", "User"):
                subject.api_group = subject.api_group or GROUP

    def validate(self, obj: Binding) -> Iterator[FieldError]:
        path, ref = Path("roleRef"), obj.role_ref
        if ref.api_group != GROUP:
            yield (path / "apiGroup").not_supported(ref.api_group, (GROUP,))
        if ref.kind not in self._roles:
            yield (path / "kind").not_supported(ref.kind, self._roles)
        if not ref.name:
            yield (path / "name").required()
        else:
            yield from names.check(path / "name", ref.name, names.path_segment)
        for i, subject in enumerate(obj.subjects or ()):
            yield from self._subject(Path("subjects")[i], subject)

    def _subject(self, path: Path, subject: Subject) -> Iterator[FieldError]:
        if not subject.name:
            yield (path / "name").required()
        if subject.kind == "ServiceAccount":
            if subject.name:
                yield from names.check(path / "name", subject.name, names.dns_subdomain)
            if subject.api_group:
                yield (path / "apiGroup").not_supported(subject.api_group, ("",))
            if not self._namespaced and not subject.namespace:
                yield (path / "namespace").required()
        elif subject.kind in KINDS:
            if subject.api_group != GROUP:
                yield (path / "apiGroup").not_supported(subject.api_group, (GROUP,))
        else:
            yield (path / "kind").not_supported(subject.kind, KINDS)

    def validate_update(self, obj: Binding, old: Binding) -> Iterator[FieldError]:
        if obj.role_ref != old.role_ref:
            yield Path("roleRef").invalid(codec.to_builtins(obj.role_ref), "cannot change roleRef")


def _of(kind: str) -> Callable[[RoleBinding | ClusterRoleBinding], str]:
    """The cell with the subjects of one kind."""

    def cell(obj: RoleBinding | ClusterRoleBinding) -> str:
        subjects = [subject for subject in obj.subjects or () if subject.kind == kind]
        if kind == "ServiceAccount":
            return ",".join(f"{subject.namespace or ''}/{subject.name}" for subject in subjects)
        return ",".join(subject.name for subject in subjects)

    return cell


_COLUMNS: Final[tuple[Column[RoleBinding | ClusterRoleBinding], ...]] = (
    columns.name(),
    Column("Role", lambda obj: f"{obj.role_ref.kind}/{obj.role_ref.name}"),
    columns.age(),
    wide("Users", _of("User")),
    wide("Groups", _of("Group")),
    wide("ServiceAccounts", _of("ServiceAccount")),
)

ROLE_BINDINGS = StoredResource(
    RoleBinding,
    BindingKind[RoleBinding](("ClusterRole", "Role"), namespaced=True),
    singular="rolebinding",
    columns=_COLUMNS,
)
CLUSTER_ROLE_BINDINGS = StoredResource(
    ClusterRoleBinding,
    BindingKind[ClusterRoleBinding](("ClusterRole",), namespaced=False),
    singular="clusterrolebinding",
    columns=_COLUMNS,
)
