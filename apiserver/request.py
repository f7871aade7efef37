"""The attributes of a request: built once, read by every stage that it passes."""

from msgspec import Struct, field

from apimachinery.selectors import FieldSelector


class User(Struct, frozen=True):
    """An authenticated identity."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class Remarks(Struct):
    """What is said about a request besides its answer; the lists are the request's own."""

    warnings: list[str] = []
    """Of which the client is told."""
    annotations: dict[str, str] = {}
    """For the audit log."""

    def warn(self, text: str) -> None:
        """Warn the client, once however often the write is tried."""
        if text not in self.warnings:
            self.warnings.append(text)


# a Struct, because one is built for each request: a frozen dataclass costs ten times as much
class Attributes(Struct, frozen=True):
    """The request in Kubernetes' terms; authorization and admission decide by it.

    ``verb`` is get, list, watch, create, update, patch, delete, deletecollection or connect; for paths that
    name no resource it is the lower-case HTTP method, and ``path`` is what matters.
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
    fields: FieldSelector = FieldSelector()
    """Which of a collection the request is about; with nothing in it about all, or about what it says otherwise."""
    remarks: Remarks = field(default_factory=Remarks)
    """What admission says of a write besides its answer."""
