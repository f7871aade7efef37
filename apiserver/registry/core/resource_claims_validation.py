"""Claims of devices (dynamic resource allocation): those of a pod, and which of them its containers use."""

from collections.abc import Iterable, Iterator, Sequence

from apimachinery import codec, names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1


def validate_resource_claims(path: Path, claims: Iterable[v1.PodResourceClaim]) -> Iterator[FieldError]:
    """``spec.resourceClaims`` of a pod."""
    earlier: set[str] = set()
    for i, claim in enumerate(claims):
        if not claim.name:
            yield (path[i] / "name").required()
        elif claim.name in earlier:
            yield (path[i] / "name").duplicate(claim.name)
        else:
            yield from names.check(path[i] / "name", claim.name, names.dns_label)
        earlier.add(claim.name)
        sources = {
            "resourceClaimName": claim.resource_claim_name,
            "resourceClaimTemplateName": claim.resource_claim_template_name,
        }
        given = {field: name for field, name in sources.items() if name is not None}
        if len(given) > 1:
            yield path[i].invalid(
                codec.to_builtins(claim),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            )
        elif not given:
            yield path[i].invalid(
                codec.to_builtins(claim), "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            )
        for field, name in given.items():
            yield from names.check(path[i] / field, name, names.dns_subdomain)


def validate_used_claims(path: Path, used: Iterable[v1.ResourceClaim], of_pod: Sequence[str]) -> Iterator[FieldError]:
    """``resources.claims`` of a container. ``of_pod`` are the names of its pod's claims."""
    known = "must be one of the names in pod.spec.resourceClaims"
    known += f": {', '.join(sorted(of_pod))}" if of_pod else " which is empty"
    earlier: set[str] = set()
    for i, claim in enumerate(used):
        if not claim.name:
            yield (path[i] / "name").required()
            continue
        if claim.request:
            yield from names.check(path[i] / "request", claim.request, names.dns_label)
        key = f"{claim.name}/{claim.request}" if claim.request else claim.name
        if key in earlier:
            yield path[i].duplicate(key)
        earlier.add(key)
        if claim.name not in of_pod:
            yield (path[i] / "name").not_found(claim.name, known)
