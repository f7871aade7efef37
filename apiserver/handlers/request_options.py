"""The options in the query of a write. What is wrong with them is wrong with an object of their kind, as in Kubernetes.

Other than the object of the request they have no name, and a client finds each fault among the causes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from apimachinery import errors
from apimachinery.fields import FieldError, Path
from apimachinery.types.meta_v1 import DeleteOptions
from apiserver.handlers.http import Request

FIELD_VALIDATION: Final = ("", "Ignore", "Strict", "Warn")
_DRY_RUN: Final = ("All",)
_POLICIES: Final = ("Background", "Foreground", "Orphan", "nil")
_MANAGER_LIMIT: Final = 128
_KINDS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


def refused(kind: str, *faults: FieldError) -> errors.Invalid:
    """The error of options of that kind."""
    return errors.invalid(kind, "meta.k8s.io", "", faults)


def validate(request: Request, verb: str, *, is_apply: bool) -> None:
    """Check the options of a create, update or patch. Raises Invalid."""
    kind = _KINDS.get(verb)
    if kind is None or not request.scope["query_string"]:
        if is_apply:
            raise refused("PatchOptions", Path("fieldManager").required("is required for apply patch"))
        return
    faults = [
        *_manager(request.query.get("fieldManager", ""), is_required=is_apply),
        *_dry_run(request.query_lists.get("dryRun", ())),
    ]
    validation = request.query.get("fieldValidation", "")
    if validation not in FIELD_VALIDATION:
        faults.append(Path("fieldValidation").not_supported(validation, FIELD_VALIDATION))
    if verb == "patch" and not is_apply and "force" in request.query:
        faults.append(Path("force").forbidden("may not be specified for non-apply patch"))
    if faults:
        raise refused(kind, *faults)


def validate_deletion(options: DeleteOptions) -> None:
    """Check the options of a delete, whether they came in the query or in the body. Raises Invalid."""
    policy, faults = options.propagation_policy, [*_dry_run(options.dry_run or ())]
    if policy is not None and options.orphan_dependents is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        faults.append(Path("propagationPolicy").invalid(policy, why))
    if policy is not None and policy not in _POLICIES[:-1]:
        faults.append(Path("propagationPolicy").not_supported(policy, _POLICIES))
    if faults:
        raise refused("DeleteOptions", *faults)


def _dry_run(values: Sequence[str]) -> Iterator[FieldError]:
    sent = [value for value in values if value]
    if any(value not in _DRY_RUN for value in sent):
        yield Path("dryRun").not_supported(sent, _DRY_RUN)


def _manager(manager: str, *, is_required: bool) -> Iterator[FieldError]:
    path = Path("fieldManager")
    if is_required and not manager:
        yield path.required("is required for apply patch")
    if len(manager) > _MANAGER_LIMIT:
        yield path.too_long(_MANAGER_LIMIT)
    for at, character in enumerate(manager):
        if not character.isprintable():
            yield path.invalid(manager, f"invalid character U+{ord(character):04X} (at position {at})")
            return
