"""Bindings as a resource of their own: the way before ``pods/binding``. Only posted, never stored."""

from typing import Any

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Binding
from apimachinery.types.meta_v1 import Status
from apiserver.registry import columns
from apiserver.registry.core.pods import PODS
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.store import Store
from apiserver.registry.strategy import PostedStrategy, Strategy
from apiserver.request import Attributes


async def _bind(store: Any, attributes: Attributes, binding: Binding) -> Status:
    """Bind the pod that the binding is named after."""
    change = PODS.subresources["binding"].create
    assert change is not None
    if not binding.metadata.name:
        raise errors.BadRequest("metadata.name: Required value: the pod to bind")

    def apply(current: Any) -> Any:
        pod = codec.copy(current)
        pod.metadata.uid = binding.metadata.uid or pod.metadata.uid
        change.apply(pod, binding)
        return pod

    pods = Store(PODS, store.storage, store.admission)
    await pods.update(attributes, Key(attributes.namespace, meta.name_of(binding)), apply, PostedStrategy())
    return Status(kind="Status", api_version="v1", status="Success", code=201)


BINDINGS = ResourceInfo(
    Binding,
    Strategy[Binding](),
    singular="binding",
    columns=(columns.name(),),
    verbs=("create",),
    answer=_bind,
)
