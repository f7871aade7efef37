"""API services: groups that another server serves. Stored; no request is passed on yet."""

from collections.abc import Iterator

from apimachinery import names
from apimachinery.core import conditions
from apimachinery.fields import FieldError, Path
from apimachinery.types.apiregistration_v1 import APIService, APIServiceCondition, APIServiceStatus
from apiserver.registry import columns
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

_HIGHEST_GROUP = 20_000
_HIGHEST_VERSION = 1_000


def _name(name: str) -> str | None:
    """``v1.`` is the name of the core group's service."""
    return names.path_segment(name)


class APIServiceKind(Strategy[APIService]):
    name_rule = staticmethod(_name)

    def default(self, obj: APIService) -> None:
        if obj.spec.service is not None and obj.spec.service.port is None:
            obj.spec.service.port = 443

    def prepare_for_create(self, obj: APIService) -> None:
        """A group without a service is served here, and so available."""
        obj.status = APIServiceStatus()
        if obj.spec.service is None:
            local = APIServiceCondition(
                type="Available",
                status="True",
                reason="Local",
                message="Local APIServices are always available",
                last_transition_time=obj.metadata.creation_timestamp,
            )
            obj.status.conditions = [local]

    def prepare_for_update(self, obj: APIService, old: APIService) -> None:
        obj.status = old.status

    def validate(self, obj: APIService) -> Iterator[FieldError]:
        spec = obj.spec
        expected = f"{spec.version or ''}.{spec.group or ''}"
        if obj.metadata.name != expected:
            yield Path("metadata", "name").invalid(
                obj.metadata.name, f'must be `spec.version+"."+spec.group`: {expected!r}'
            )
        if spec.group:
            yield from names.check(SPEC / "group", spec.group, names.dns_subdomain)
        if not spec.version:
            yield (SPEC / "version").required()
        else:
            yield from names.check(SPEC / "version", spec.version, names.dns_label_1035)
        for field, value, highest in (
            ("groupPriorityMinimum", spec.group_priority_minimum, _HIGHEST_GROUP),
            ("versionPriority", spec.version_priority, _HIGHEST_VERSION),
        ):
            if not 0 < value <= highest:
                yield (SPEC / field).invalid(value, f"must be positive and less than {highest}")
        if spec.service is None:
            if spec.ca_bundle:
                yield (SPEC / "caBundle").invalid(
                    f"{len(spec.ca_bundle)} bytes", "local APIServices may not have a caBundle"
                )
            if spec.insecure_skip_tls_verify:
                yield (SPEC / "insecureSkipTLSVerify").invalid(
                    True, "local APIServices may not have insecureSkipTLSVerify"
                )
            return
        for field, text in (("namespace", spec.service.namespace), ("name", spec.service.name)):
            if not text:
                yield (SPEC / "service" / field).required()
        if spec.insecure_skip_tls_verify and spec.ca_bundle:
            yield (SPEC / "insecureSkipTLSVerify").invalid(True, "may not be true if caBundle is present")


def _available(obj: APIService) -> str:
    available = conditions.find(obj.status.conditions, "Available")
    if available is None:
        return "Unknown"
    return available.status if available.status == "True" else f"{available.status} ({available.reason})"


def _service(obj: APIService) -> str:
    service = obj.spec.service
    return "Local" if service is None else f"{service.namespace}/{service.name}"


_KIND = APIServiceKind()

API_SERVICES = StoredResource(
    APIService,
    _KIND,
    singular="apiservice",
    categories=("api-extensions",),
    columns=(columns.name(), Column("Service", _service), Column("Available", _available), columns.age()),
    subresources={"status": ObjectSubresource(StatusStrategy[APIService](_KIND))},
)
