"""What services and their endpoints mean."""

from apimachinery import meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Service
from apimachinery.types.discovery_v1 import EndpointSlice


def service_of(endpoint_slice: EndpointSlice) -> Key | None:
    """The service whose endpoints the slice lists; None if it does not say."""
    name = meta.labels_of(endpoint_slice).get(well_known.SERVICE_NAME_LABEL)
    return Key(meta.namespace_of(endpoint_slice), name) if name else None


def has_cluster_ip(service: Service) -> bool:
    """Whether it has an address: it is neither headless nor an external name, and its address is allocated."""
    return service.spec.type != "ExternalName" and service.spec.cluster_ip not in (None, "", "None")


def publishes_unready(service: Service) -> bool:
    """Whether pods that are not ready count as ready among its endpoints, by the field or the annotation before it."""
    annotation = meta.annotations_of(service).get(well_known.TOLERATE_UNREADY_ANNOTATION)
    return bool(service.spec.publish_not_ready_addresses) or annotation == "true"
