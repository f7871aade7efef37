"""The downward API: a pod's own fields and resources as text, for environment variables and volumes. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING

from apimachinery import meta, quantity
from apimachinery.core import containers
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity

_MAP_KEY = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class UnknownField(ValueError):
    """A reference to a field that is not supported."""


@dataclass(frozen=True)
class PodAddresses:
    """The addresses of a pod, which are known once its sandbox runs, and of its node."""

    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()


def field_value(pod: core_v1.Pod, path: str, addresses: PodAddresses) -> str:
    """The text of ``fieldRef``. Raises ``UnknownField``."""
    if match := _MAP_KEY.fullmatch(path):
        source = meta.labels_of(pod) if match[1] == "labels" else meta.annotations_of(pod)
        return source.get(match[2], "")
    match path:
        case "metadata.name":
            return meta.name_of(pod)
        case "metadata.namespace":
            return meta.namespace_of(pod)
        case "metadata.uid":
            return meta.uid_of(pod)
        case "metadata.labels":
            return _lines(meta.labels_of(pod))
        case "metadata.annotations":
            return _lines(meta.annotations_of(pod))
        case "spec.nodeName":
            return pod.spec.node_name or ""
        case "spec.serviceAccountName":
            return pod.spec.service_account_name or ""
        case "status.podIP":
            return addresses.pod_ips[0] if addresses.pod_ips else ""
        case "status.podIPs":
            return ",".join(addresses.pod_ips)
        case "status.hostIP":
            return addresses.host_ips[0] if addresses.host_ips else ""
        case "status.hostIPs":
            return ",".join(addresses.host_ips)
    raise UnknownField(f"field {path!r} cannot be referred to")


def resource_value(
    pod: core_v1.Pod,
    container: core_v1.Container,
    ref: core_v1.ResourceFieldSelector,
    allocatable: Mapping[str, Quantity],
) -> str:
    """The text of ``resourceFieldRef``: whole divisors, rounded up. A missing limit is the node's allocatable."""
    if ref.container_name and ref.container_name != container.name:
        named = containers.find(pod, ref.container_name)
        if named is None:
            raise UnknownField(f"container {ref.container_name!r} not found")
        container = named
    kind, _, name = ref.resource.partition(".")
    if kind not in ("limits", "requests") or not name:
        raise UnknownField(f"resource {ref.resource!r} cannot be referred to")
    limits, requests = container.resources.limits or {}, container.resources.requests or {}
    own = requests.get(name, limits.get(name, 0)) if kind == "requests" else limits.get(name)
    amount = allocatable.get(name, 0) if own is None else own
    divisor = quantity.parse(ref.divisor or 0) or quantity.parse(1)
    return str(int((quantity.parse(amount or 0) / divisor).to_integral_value(ROUND_CEILING)))


def _lines(values: Mapping[str, str]) -> str:
    """As Kubernetes writes a map into a file: sorted, values quoted as in Go."""
    return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(values.items()))


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return text
