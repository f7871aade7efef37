"""Service accounts: identities for what runs in pods."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from apimachinery import errors, meta
from apimachinery.fields import FieldError, Path
from apimachinery.meta import Key
from apimachinery.types.authentication_v1 import TokenRequest
from apimachinery.types.core_v1 import Node, Pod, Secret, ServiceAccount
from apiserver.registry import columns
from apiserver.registry.resource import PostedAction, ResourceInfo, Subresource
from apiserver.registry.strategy import Strategy
from apiserver.request import Attributes

TOKEN_SECONDS: Final = 3600
_SHORTEST: Final = 600
_LONGEST: Final = 2**32


_BOUND: Final[dict[str, tuple[str, type[Any]]]] = {
    "Node": ("nodes", Node), "Pod": ("pods", Pod), "Secret": ("secrets", Secret),
}  # fmt: skip


class Issuer(Protocol):
    """Signs tokens for service accounts."""

    @property
    def audiences(self) -> Sequence[str]:
        """Whom a token is meant for that does not say."""
        ...

    def issue(
        self, namespace: str, name: str, uid: str, audiences: Sequence[str], seconds: int, bound: dict[str, Any]
    ) -> tuple[str, int]:
        """A token, and when it should be replaced (seconds since the epoch)."""
        ...


def _faults(request: TokenRequest) -> Iterator[FieldError]:
    path, seconds = Path("spec", "expirationSeconds"), request.spec.expiration_seconds or 0
    if seconds < _SHORTEST:
        yield path.invalid(seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _LONGEST:
        yield path.invalid(seconds, "may not specify a duration larger than 2^32 seconds")


def _token(issuer: Issuer) -> Subresource:
    async def run(store: Any, attributes: Attributes, key: Key, request: Any) -> TokenRequest:
        name = request.metadata.name
        if name and name != key.name:
            raise errors.BadRequest(f"name in URL does not match name in TokenRequest: {name} is not {key.name}")
        if request.spec.expiration_seconds is None:
            request.spec.expiration_seconds = TOKEN_SECONDS
        if faults := list(_faults(request)):
            raise errors.invalid("TokenRequest", "authentication.k8s.io", "", faults)
        if not request.spec.audiences:
            request.spec.audiences = list(issuer.audiences)
        uid = meta.uid_of((await store.get(key)).object)
        spec, bound = request.spec, await _bound(store, key, request)
        token, expires = issuer.issue(
            key.namespace, key.name, uid, spec.audiences or (), spec.expiration_seconds, bound
        )
        request.status.token = token
        request.status.expiration_timestamp = meta.format_time(datetime.fromtimestamp(expires, UTC))
        request.metadata.name, request.metadata.namespace = key.name, key.namespace
        request.metadata.creation_timestamp = meta.now()
        answer: TokenRequest = request
        return answer

    return Subresource(("create",), action=PostedAction(TokenRequest, run), kind="TokenRequest")


async def _bound(store: Any, key: Key, request: TokenRequest) -> dict[str, Any]:
    """The object that the token shall live and die with. Raises NotFound or Conflict if it is not the one named."""
    ref = request.spec.bound_object_ref
    if ref is None:
        return {}
    if ref.kind not in _BOUND:
        raise errors.BadRequest(f"cannot bind token for serviceaccount to {ref.kind}")
    plural, cls = _BOUND[ref.kind]
    place = "-" if ref.kind == "Node" else key.namespace
    found = await store.storage.get(f"/registry/core/{plural}/{place}/{ref.name}", cls)
    if found is None:
        raise errors.not_found(plural, "", ref.name or "")
    uid = meta.uid_of(found.object)
    if ref.uid and ref.uid != uid:
        raise errors.conflict(
            plural, "", ref.name or "", f"the UID in the bound object reference ({ref.uid}) does not match the UID "
            f"in record. The object might have been deleted and then recreated"
        )  # fmt: skip
    bound: dict[str, Any] = {ref.kind.lower(): {"name": ref.name, "uid": uid}}
    if isinstance(found.object, Pod):
        if found.object.spec.service_account_name != key.name:
            raise errors.BadRequest(
                f'cannot bind token for serviceaccount "{key.name}" to pod running with different serviceaccount name.'
            )
        if node := found.object.spec.node_name:
            bound["node"] = await _node(store, node)
    return bound


async def _node(store: Any, name: str) -> dict[str, str]:
    """The pod's node; by its name alone where there is no such object."""
    found = await store.storage.get(f"/registry/core/nodes/-/{name}", Node)
    return {"name": name, "uid": meta.uid_of(found.object)} if found is not None else {"name": name}


def service_accounts(issuer: Issuer | None = None) -> ResourceInfo[ServiceAccount]:
    """The row; ``/token`` is served where there is somebody to sign."""
    return ResourceInfo(
        ServiceAccount,
        Strategy[ServiceAccount](),
        singular="serviceaccount",
        short_names=("sa",),
        columns=(
            columns.name(),
            columns.Column("Secrets", lambda obj: str(len(obj.secrets or ()))),
            columns.age(),
        ),
        subresources={"token": _token(issuer)} if issuer is not None else {},
    )
