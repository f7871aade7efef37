"""Webhook configurations: whom to ask before something is written. They are stored; no webhook is called yet."""

from collections.abc import Iterator
from typing import Final, TypeVar

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.admissionregistration_v1 import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
)
from apimachinery.types.meta_v1 import LabelSelector
from apiserver.registry import columns, field_rules
from apiserver.registry.admissionregistration.match_rules import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_rules,
    validate_client,
    validate_conditions,
    validate_rules,
)
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

Configuration = TypeVar("Configuration", MutatingWebhookConfiguration, ValidatingWebhookConfiguration)

TIMEOUT_SECONDS: Final = 10
_PORT: Final = 443
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
_REINVOCATIONS: Final = ("IfNeeded", "Never")
_VERSIONS: Final = ("v1", "v1beta1")


class WebhookKind(Strategy[Configuration]):
    """Both kinds; a mutating webhook may be asked again."""

    counts_generations = True

    def default(self, obj: Configuration) -> None:
        for hook in obj.webhooks or ():
            hook.failure_policy = hook.failure_policy or "Fail"
            hook.match_policy = hook.match_policy or "Equivalent"
            hook.namespace_selector = hook.namespace_selector or LabelSelector()
            hook.object_selector = hook.object_selector or LabelSelector()
            if hook.timeout_seconds is None:
                hook.timeout_seconds = TIMEOUT_SECONDS
            if isinstance(hook, MutatingWebhook):
                hook.reinvocation_policy = hook.reinvocation_policy or "Never"
            service = hook.client_config.service
            if service is not None and service.port is None:
                service.port = _PORT
            default_rules(hook.rules)

    def desired_state(self, obj: Configuration) -> object:
        return obj.webhooks

    def validate(self, obj: Configuration) -> Iterator[FieldError]:
        earlier: set[str] = set()
        for i, hook in enumerate(obj.webhooks or ()):
            path = Path("webhooks")[i]
            yield from self._hook(path, hook)
            if hook.name in earlier:
                yield (path / "name").duplicate(hook.name)
            earlier.add(hook.name)

    def _hook(self, path: Path, hook: MutatingWebhook | ValidatingWebhook) -> Iterator[FieldError]:
        if not hook.name:
            yield (path / "name").required()
        else:
            yield from names.check(path / "name", hook.name, names.dns_subdomain)
            if hook.name.count(".") < 2:
                yield (path / "name").invalid(
                    hook.name, "should be a domain with at least three segments separated by dots"
                )
        yield from validate_client(path / "clientConfig", hook.client_config)
        yield from validate_rules(path / "rules", hook.rules)
        yield from field_rules.required(path / "failurePolicy", hook.failure_policy, FAILURE_POLICIES)
        yield from field_rules.required(path / "matchPolicy", hook.match_policy, MATCH_POLICIES)
        yield from field_rules.required(path / "sideEffects", hook.side_effects, _SIDE_EFFECTS)
        yield from field_rules.validate_selector(path / "namespaceSelector", hook.namespace_selector)
        yield from field_rules.validate_selector(path / "objectSelector", hook.object_selector)
        if not 1 <= (hook.timeout_seconds or 0) <= 30:
            yield (path / "timeoutSeconds").invalid(
                hook.timeout_seconds, "the timeout value must be between 1 and 30 seconds"
            )
        if isinstance(hook, MutatingWebhook):
            yield from field_rules.required(path / "reinvocationPolicy", hook.reinvocation_policy, _REINVOCATIONS)
        versions = hook.admission_review_versions
        if not versions:
            yield (path / "admissionReviewVersions").required("must specify one of v1, v1beta1")
        elif not set(versions) & set(_VERSIONS):
            yield (path / "admissionReviewVersions").invalid(versions, "must include at least one of v1, v1beta1")
        yield from validate_conditions(path / "matchConditions", hook.match_conditions)


_COLUMNS: Final[tuple[Column[MutatingWebhookConfiguration | ValidatingWebhookConfiguration], ...]] = (
    columns.name(),
    Column("Webhooks", lambda obj: len(obj.webhooks or ()), type="integer"),
    columns.age(),
)

MUTATING_WEBHOOK_CONFIGURATIONS = StoredResource(
    MutatingWebhookConfiguration,
    WebhookKind[MutatingWebhookConfiguration](),
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    columns=_COLUMNS,
)
VALIDATING_WEBHOOK_CONFIGURATIONS = StoredResource(
    ValidatingWebhookConfiguration,
    WebhookKind[ValidatingWebhookConfiguration](),
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    columns=_COLUMNS,
)
