"""What is asked, by whom, of what: made once per request, read by every stage it passes."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The request in Kubernetes' terms; authorization and admission decide by it.

    ``verb`` is get, list, watch, create, update, patch, delete, deletecollection or connect; for paths that
    name no resource it is the lower-case HTTP method and ``path`` says what is asked.
    """

    user: User
    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    dry_run: bool = False
    field_manager: str = "unknown"
    is_apply: bool = False
    """Whether a patch is a server-side apply, which settles managedFields itself."""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)
