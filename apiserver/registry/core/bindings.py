"""Bindings: a scheduler puts a pod on a node, by ``pods/binding`` or by the older resource of its own."""

from apimachinery import errors, meta, names
from apimachinery.core import conditions
from apimachinery.fields import Path
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Binding, Pod, PodCondition
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store
from apiserver.registry.strategy import PostedStrategy, Strategy
from apiserver.registry.subresources import PostedSubresource
from apiserver.registry.unstored import AnsweredResource
from apiserver.request import Attributes


class BindingSubresource(PostedSubresource[Pod, Binding]):
    """Nothing of the binding is stored: the pod is changed."""

    def __init__(self) -> None:
        super().__init__(Binding)

    async def post(self, store: Store[Pod], attributes: Attributes, key: Key, obj: Binding) -> None:
        await _bind(store, attributes, key, obj)


def bindings(resources: Resources) -> AnsweredResource[Binding]:
    """The row of the older resource, whose name is the pod's."""

    async def answer(attributes: Attributes, binding: Binding) -> None:
        if not binding.metadata.name:
            raise errors.BadRequest("metadata.name: Required value: the pod to bind")
        key = Key(attributes.namespace, binding.metadata.name)
        await _bind(resources.store(Pod), attributes, key, binding)

    return AnsweredResource(
        Binding,
        Strategy[Binding](),
        singular="binding",
        verbs=("create",),
        answer=answer,
    )


async def _bind(pods: Store[Pod], attributes: Attributes, key: Key, binding: Binding) -> None:
    """Put the pod on the node that a scheduler chose, once."""

    def bind(pod: Pod) -> None:
        pod.metadata.uid = binding.metadata.uid or pod.metadata.uid
        name, node = meta.name_of(pod), _node_of(binding, meta.name_of(pod))
        if pod.metadata.deletion_timestamp:
            raise errors.conflict(
                "pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host"
            )
        if pod.spec.node_name:
            raise errors.conflict(
                "pods/binding", "", name, f'pod {name} is already assigned to node "{pod.spec.node_name}"'
            )
        if pod.spec.scheduling_gates:
            raise errors.conflict("pods/binding", "", name, f"pod {name} has non-empty .spec.schedulingGates")
        pod.spec.node_name = node
        pod.metadata.annotations = {**(pod.metadata.annotations or {}), **(binding.metadata.annotations or {})} or None
        scheduled = PodCondition(type="PodScheduled", status="True", last_transition_time=meta.now())
        pod.status.conditions = conditions.set_condition(pod.status.conditions, scheduled)

    await pods.modify(attributes, key, bind, PostedStrategy())


def _node_of(binding: Binding, pod: str) -> str:
    """Raises Invalid."""
    target, path = binding.target, Path("target")
    if (target.kind or "Node") != "Node":
        raise errors.invalid("Binding", "", pod, [(path / "kind").not_supported(target.kind, ("Node", "<empty>"))])
    if not target.name:
        raise errors.invalid("Binding", "", pod, [(path / "name").required()])
    if (fault := names.dns_subdomain(target.name)) is not None:
        raise errors.invalid("Binding", "", pod, [(path / "name").invalid(target.name, fault)])
    return target.name
