"""Which secrets a pod may name whose service account has the annotation ``kubernetes.io/enforce-mountable-secrets``.

Only those that the account lists. Words as Kubernetes' serviceaccount admission; secrets in projected volumes, which that
does not look at, are held to the same.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from apimachinery import meta
from apimachinery.types.core_v1 import Container, EphemeralContainer, Pod, ServiceAccount

ANNOTATION: Final = "kubernetes.io/enforce-mountable-secrets"
_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")


def are_enforced(account: ServiceAccount) -> bool:
    return meta.annotations_of(account).get(ANNOTATION) in _TRUE


def fault_of_pod(pod: Pod, account: ServiceAccount) -> str:
    """What the pod names and may not; empty if nothing."""
    return next(_faults(pod, account), "")


def fault_of_ephemeral_containers(pod: Pod, account: ServiceAccount) -> str:
    return next(_of_containers("ephemeral container", pod.spec.ephemeral_containers or (), account), "")


def _mountable(account: ServiceAccount) -> set[str | None]:
    return {secret.name for secret in account.secrets or ()}


def _faults(pod: Pod, account: ServiceAccount) -> Iterator[str]:
    mountable = _mountable(account)
    for volume in pod.spec.volumes or ():
        named = [volume.secret.secret_name] if volume.secret is not None else []
        projections = (volume.projected.sources or ()) if volume.projected is not None else ()
        named += [projection.secret.name for projection in projections if projection.secret is not None]
        for name in named:
            if name not in mountable:
                yield _refused(f'volume with secret.secretName="{name}"', account)
    yield from _of_containers("init container", pod.spec.init_containers or (), account)
    yield from _of_containers("container", pod.spec.containers, account)
    pulling: Collection[str | None] = {secret.name for secret in account.image_pull_secrets or ()}
    for i, secret in enumerate(pod.spec.image_pull_secrets or ()):
        if secret.name not in pulling:
            yield _refused(f'imagePullSecrets[{i}].name="{secret.name}"', account, "imagePullSecret")


def _of_containers(
    what: str, containers: Iterable[Container | EphemeralContainer], account: ServiceAccount
) -> Iterator[str]:
    mountable = _mountable(account)
    for container in containers:
        who = f"{what} {container.name}"
        for variable in container.env or ():
            key = variable.value_from.secret_key_ref if variable.value_from is not None else None
            if key is not None and key.name not in mountable:
                yield _refused(f'{who} with envVar {variable.name} referencing secret.secretName="{key.name}"', account)
        for bulk in container.env_from or ():
            if bulk.secret_ref is not None and bulk.secret_ref.name not in mountable:
                yield _refused(f'{who} with envFrom referencing secret.secretName="{bulk.secret_ref.name}"', account)


def _refused(what: str, account: ServiceAccount, kind: str = "secret") -> str:
    return f"{what} is not allowed because service account {meta.name_of(account)} does not reference that {kind}"
