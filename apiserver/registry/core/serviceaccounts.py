"""Service accounts: identities for what runs in pods."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from apimachinery import errors, meta
from apimachinery.fields import FieldError, Path
from apimachinery.meta import Key
from apimachinery.types.authentication_v1 import TokenRequest
from apimachinery.types.core_v1 import Node, Pod, Secret, ServiceAccount
from apiserver.registry import columns
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store, StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.subresources import PostedSubresource
from apiserver.request import Attributes

TOKEN_SECONDS: Final = 3600
_SHORTEST: Final = 600
_LONGEST: Final = 2**32


_BOUND: Final[dict[str, type[Node | Pod | Secret]]] = {"Node": Node, "Pod": Pod, "Secret": Secret}


class Issuer(Protocol):
    """Signs tokens for service accounts."""

    @property
    def audiences(self) -> Sequence[str]:
        """The audiences of a token whose request names none."""
        ...

    def issue(
        self, namespace: str, name: str, uid: str, audiences: Sequence[str], seconds: int, bound: Mapping[str, object]
    ) -> tuple[str, int]:
        """A token, and when it should be replaced (seconds since the epoch)."""
        ...


def _faults(request: TokenRequest) -> Iterator[FieldError]:
    path, seconds = Path("spec", "expirationSeconds"), request.spec.expiration_seconds or 0
    if seconds < _SHORTEST:
        yield path.invalid(seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _LONGEST:
        yield path.invalid(seconds, "may not specify a duration larger than 2^32 seconds")


class TokenSubresource(PostedSubresource[ServiceAccount, TokenRequest]):
    """``/token``: signed by ``issuer``, and bound to what ``resources`` contain."""

    def __init__(self, issuer: Issuer, resources: Resources) -> None:
        super().__init__(TokenRequest)
        self._issuer, self._resources = issuer, resources

    async def post(
        self, store: Store[ServiceAccount], attributes: Attributes, key: Key, obj: TokenRequest
    ) -> TokenRequest:
        spec = obj.spec
        if spec.expiration_seconds is None:
            spec.expiration_seconds = TOKEN_SECONDS
        if faults := list(_faults(obj)):
            raise errors.invalid("TokenRequest", "authentication.k8s.io", "", faults)
        spec.audiences = spec.audiences or list(self._issuer.audiences)
        uid = meta.uid_of((await store.get(key)).object)
        bound = await self._bound(key, obj)
        obj.status.token, expires = self._issuer.issue(
            key.namespace, key.name, uid, spec.audiences, spec.expiration_seconds, bound
        )
        obj.status.expiration_timestamp = meta.format_time(datetime.fromtimestamp(expires, UTC))
        obj.metadata.name, obj.metadata.namespace = key.name, key.namespace
        obj.metadata.creation_timestamp = meta.now()
        return obj

    async def _bound(self, account: Key, request: TokenRequest) -> dict[str, dict[str, str]]:
        """The object that the token is bound to. Raises NotFound, or Conflict if it is not the object named."""
        ref = request.spec.bound_object_ref
        if ref is None:
            return {}
        if ref.kind not in _BOUND:
            raise errors.BadRequest(f"cannot bind token for serviceaccount to {ref.kind}")
        store, name = self._resources.store(_BOUND[ref.kind]), ref.name or ""
        key = Key("" if ref.kind == "Node" else account.namespace, name)
        obj = (await store.get(key)).object
        uid = meta.uid_of(obj)
        if ref.uid and ref.uid != uid:
            raise store.conflict(
                key,
                f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. The object might "
                "have been deleted and then recreated",
            )
        bound = {ref.kind.lower(): {"name": name, "uid": uid}}
        if isinstance(obj, Pod):
            if obj.spec.service_account_name != account.name:
                raise errors.BadRequest(
                    f'cannot bind token for serviceaccount "{account.name}" to pod running with different '
                    "serviceaccount name."
                )
            if node_name := obj.spec.node_name:
                node = self._resources.store(Node).cached(Key("", node_name))
                bound["node"] = {"name": node_name, **({"uid": meta.uid_of(node)} if node is not None else {})}
        return bound


def service_accounts(resources: Resources, issuer: Issuer | None = None) -> StoredResource[ServiceAccount]:
    """The row; ``/token`` is served if there is an issuer to sign."""
    return StoredResource(
        ServiceAccount,
        Strategy[ServiceAccount](),
        singular="serviceaccount",
        short_names=("sa",),
        columns=(
            columns.name(),
            columns.Column("Secrets", lambda obj: str(len(obj.secrets or ()))),
            columns.age(),
        ),
        subresources={"token": TokenSubresource(issuer, resources)} if issuer is not None else {},
    )
