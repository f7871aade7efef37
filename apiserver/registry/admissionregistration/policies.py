"""Validating admission policies and their bindings. Stored; no expression is evaluated yet."""

from collections.abc import Iterator
from typing import Final

from apimachinery.fields import FieldError
from apimachinery.types.admissionregistration_v1 import (
    MatchResources,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    ValidatingAdmissionPolicyStatus,
)
from apiserver.registry import columns, field_rules
from apiserver.registry.admissionregistration.match_rules import (
    FAILURE_POLICIES,
    default_match,
    validate_conditions,
    validate_match,
)
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

_ACTIONS: Final = ("Audit", "Deny", "Warn")


class PolicyKind(Strategy[ValidatingAdmissionPolicy]):
    counts_generations = True

    def default(self, obj: ValidatingAdmissionPolicy) -> None:
        obj.spec.failure_policy = obj.spec.failure_policy or "Fail"
        obj.spec.match_constraints = obj.spec.match_constraints or MatchResources()
        default_match(obj.spec.match_constraints)

    def prepare_for_create(self, obj: ValidatingAdmissionPolicy) -> None:
        obj.status = ValidatingAdmissionPolicyStatus()

    def prepare_for_update(self, obj: ValidatingAdmissionPolicy, old: ValidatingAdmissionPolicy) -> None:
        obj.status = old.status

    def validate(self, obj: ValidatingAdmissionPolicy) -> Iterator[FieldError]:
        spec = obj.spec
        yield from field_rules.required(SPEC / "failurePolicy", spec.failure_policy, FAILURE_POLICIES)
        if spec.param_kind is not None:
            for field, value in (("apiVersion", spec.param_kind.api_version), ("kind", spec.param_kind.kind)):
                if not value:
                    yield (SPEC / "paramKind" / field).required()
        if spec.match_constraints is None or not spec.match_constraints.resource_rules:
            yield (SPEC / "matchConstraints" / "resourceRules").required()
        if spec.match_constraints is not None:
            yield from validate_match(SPEC / "matchConstraints", spec.match_constraints)
        yield from validate_conditions(SPEC / "matchConditions", spec.match_conditions)
        if not spec.validations and not spec.audit_annotations:
            for field in ("validations", "auditAnnotations"):
                yield (SPEC / field).required("validations or auditAnnotations must be specified")
        for i, validation in enumerate(spec.validations or ()):
            if not validation.expression.strip():
                yield ((SPEC / "validations")[i] / "expression").required("expression is not specified")
        earlier: set[str] = set()
        for i, variable in enumerate(spec.variables or ()):
            path = (SPEC / "variables")[i]
            if not variable.name:
                yield (path / "name").required("name is not specified")
            elif variable.name in earlier:
                yield (path / "name").duplicate(variable.name)
            earlier.add(variable.name)
            if not variable.expression.strip():
                yield (path / "expression").required("expression is not specified")


def _parameter(obj: ValidatingAdmissionPolicy) -> str:
    kind = obj.spec.param_kind
    return f"{kind.api_version or ''}/{kind.kind or ''}" if kind is not None else "<unset>"


_POLICY = PolicyKind()

VALIDATING_ADMISSION_POLICIES = StoredResource(
    ValidatingAdmissionPolicy,
    _POLICY,
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    columns=(
        columns.name(),
        Column("Validations", lambda obj: len(obj.spec.validations or ()), type="integer"),
        Column("ParamKind", _parameter),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(StatusStrategy[ValidatingAdmissionPolicy](_POLICY))},
)


class BindingKind(Strategy[ValidatingAdmissionPolicyBinding]):
    counts_generations = True

    def default(self, obj: ValidatingAdmissionPolicyBinding) -> None:
        if obj.spec.match_resources is not None:
            default_match(obj.spec.match_resources)

    def validate(self, obj: ValidatingAdmissionPolicyBinding) -> Iterator[FieldError]:
        spec = obj.spec
        if not spec.policy_name:
            yield (SPEC / "policyName").required()
        if spec.param_ref is not None:
            path, ref = SPEC / "paramRef", spec.param_ref
            if ref.name and ref.selector is not None:
                yield (path / "name").forbidden("name and selector are mutually exclusive")
            elif not ref.name and ref.selector is None:
                yield path.required("one of name or selector must be specified")
            yield from field_rules.required(
                path / "parameterNotFoundAction", ref.parameter_not_found_action, ("Allow", "Deny")
            )
        if spec.match_resources is not None:
            yield from validate_match(SPEC / "matchResources", spec.match_resources)
        if not spec.validation_actions:
            yield (SPEC / "validationActions").required("at least one validation action is required")
        for i, action in enumerate(spec.validation_actions):
            yield from field_rules.required((SPEC / "validationActions")[i], action, _ACTIONS)
        if {"Deny", "Warn"} <= set(spec.validation_actions):
            yield (SPEC / "validationActions").invalid(
                spec.validation_actions, "must not contain both Deny and Warn (repeating the same validation failure "
                "information in the API response and headers serves no purpose)"
            )  # fmt: skip


def _reference(obj: ValidatingAdmissionPolicyBinding) -> str:
    ref = obj.spec.param_ref
    if ref is None:
        return "<unset>"
    if ref.name:
        return f"{ref.namespace}/{ref.name}" if ref.namespace else f"*/{ref.name}"
    return field_rules.selector_text(ref.selector)


VALIDATING_ADMISSION_POLICY_BINDINGS = StoredResource(
    ValidatingAdmissionPolicyBinding,
    BindingKind(),
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    columns=(
        columns.name(),
        Column("PolicyName", lambda obj: obj.spec.policy_name),
        Column("ParamRef", _reference),
        columns.age(),
    ),
)
