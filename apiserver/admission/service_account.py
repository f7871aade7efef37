"""Each pod runs as a service account of its namespace, and gets what it needs to talk to the API as that account.

That is a projected volume of a token, the cluster's authority and the namespace's name, mounted where every client
library looks for it.
"""

import asyncio
import random
from collections.abc import Iterator
from typing import Final

from apimachinery import errors, meta
from apimachinery.core import pods
from apimachinery.core.references import secrets_of
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apiserver.admission import Plugin
from apiserver.registry.store import Store
from apiserver.request import Attributes

DEFAULT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX: Final = "kube-api-access-"
TOKEN_SECONDS: Final = 3607
ROOT_CA: Final = "kube-root-ca.crt"
ENFORCE_MOUNTABLE_SECRETS: Final = "kubernetes.io/enforce-mountable-secrets"
"""Annotation of an account whose pods may name only the secrets that the account lists."""
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
"""What Go reads as true."""
_PATIENCE: Final = 2.0
_RETRY: Final = 0.05
"""Seconds: a controller creates a new namespace's account, so a pod that follows at once waits for it a moment."""


class ServiceAccount(Plugin[v1.Pod]):
    """Where nobody signs tokens (``mounts_tokens`` is False) a pod has its account, but nothing is mounted: it would
    wait forever."""

    types = (v1.Pod,)

    def __init__(self, accounts: Store[v1.ServiceAccount], *, mounts_tokens: bool = True) -> None:
        self._accounts, self._mounts_tokens = accounts, mounts_tokens

    async def admit(self, attributes: Attributes, obj: v1.Pod, old: v1.Pod | None) -> None:
        if attributes.verb != "create" or attributes.subresource or pods.is_mirror(obj):
            return  # a mirror that differs from the static pod would be removed by its kubelet
        spec = obj.spec
        spec.service_account_name = spec.service_account = spec.service_account_name or DEFAULT
        account = await self._account(Key(attributes.namespace, spec.service_account_name), meta.name_of(obj))
        if self._mounts_tokens and _wants_token(spec, account):
            _mount(spec)
        if not spec.image_pull_secrets and account.image_pull_secrets:
            spec.image_pull_secrets = [
                v1.LocalObjectReference(name=secret.name) for secret in account.image_pull_secrets
            ]

    async def validate(self, attributes: Attributes, obj: v1.Pod, old: v1.Pod | None) -> None:
        if attributes.verb == "create" and not attributes.subresource:
            fault = _fault_of_mirror(obj) if pods.is_mirror(obj) else await self._fault(attributes, obj)
        elif attributes.subresource == "ephemeralcontainers":
            fault = await self._fault(attributes, obj)
        else:
            return
        if fault:
            raise errors.forbidden("pods", "", meta.name_of(obj), fault)

    async def _fault(self, attributes: Attributes, pod: v1.Pod) -> str:
        """Which secret it may not name, if its account says which it may."""
        if not pod.spec.service_account_name:
            return f"no service account specified for pod {attributes.namespace}/{meta.name_of(pod)}"
        account = await self._account(Key(attributes.namespace, pod.spec.service_account_name), meta.name_of(pod))
        if meta.annotations_of(account).get(ENFORCE_MOUNTABLE_SECRETS) not in _TRUE:
            return ""
        if attributes.subresource:
            pod = v1.Pod(spec=v1.PodSpec(ephemeral_containers=pod.spec.ephemeral_containers))
        return next(_unlisted_secrets(pod, account), "")

    async def _account(self, key: Key, pod: str) -> v1.ServiceAccount:
        """Raises Forbidden if there is none of that name."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_PATIENCE if key.name == DEFAULT else 0)
        while (account := await self._accounts.find(key)) is None:
            if loop.time() >= deadline:
                why = f'error looking up service account {key}: serviceaccount "{key.name}" not found'
                raise errors.forbidden("pods", "", pod, why)
            await asyncio.sleep(_RETRY)
        return account


def _unlisted_secrets(pod: v1.Pod, account: v1.ServiceAccount) -> Iterator[str]:
    """What is wrong with each secret that a pod names and its account does not list."""
    spec, mountable = pod.spec, {secret.name for secret in account.secrets or ()}
    why = f"is not allowed because service account {meta.name_of(account)} does not reference that"
    for volume in spec.volumes or ():
        if volume.secret is not None and volume.secret.secret_name not in mountable:
            yield f'volume with secret.secretName="{volume.secret.secret_name}" {why} secret'
    for sort, group in (
        ("init container", spec.init_containers),
        ("container", spec.containers),
        ("ephemeral container", spec.ephemeral_containers),
    ):
        for container in group or ():
            for use, name in _secrets_in(container):
                if name not in mountable:
                    yield f'{sort} {container.name} with {use} referencing secret.secretName="{name}" {why} secret'
    pullable = {secret.name for secret in account.image_pull_secrets or ()}
    for i, reference in enumerate(spec.image_pull_secrets or ()):
        if reference.name not in pullable:
            yield f'imagePullSecrets[{i}].name="{reference.name}" {why} imagePullSecret'
    # Kubernetes overlooks those in other volumes: projected ones, and of drivers
    for name in secrets_of(v1.Pod(spec=v1.PodSpec(volumes=spec.volumes))):
        if name not in mountable:
            yield f'volume with secret.secretName="{name}" {why} secret'


def _secrets_in(container: v1.Container | v1.EphemeralContainer) -> Iterator[tuple[str, str | None]]:
    """How the container uses secrets, and their names."""
    for variable in container.env or ():
        if variable.value_from is not None and variable.value_from.secret_key_ref is not None:
            yield f"envVar {variable.name}", variable.value_from.secret_key_ref.name
    for source in container.env_from or ():
        if source.secret_ref is not None:
            yield "envFrom", source.secret_ref.name


def _fault_of_mirror(pod: v1.Pod) -> str:
    if pod.spec.service_account_name:
        return "a mirror pod may not reference service accounts"
    if any(True for _ in secrets_of(pod)):
        return "a mirror pod may not reference secrets"
    for volume in pod.spec.volumes or ():
        for source in (volume.projected.sources or ()) if volume.projected is not None else ():
            if source.service_account_token is not None:
                return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _wants_token(spec: v1.PodSpec, account: v1.ServiceAccount) -> bool:
    """The pod decides before its account; the default is to mount."""
    for automount in (spec.automount_service_account_token, account.automount_service_account_token):
        if automount is not None:
            return automount
    return True


def _mount(spec: v1.PodSpec) -> None:
    """Mount the token in each container that has nothing mounted there already."""
    names = [volume.name for volume in spec.volumes or ()]
    name = next((name for name in names if name.startswith(VOLUME_PREFIX)), "")
    has_volume = bool(name)
    name = name or VOLUME_PREFIX + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    needed = False
    for container in (*(spec.init_containers or ()), *spec.containers):
        if all(mount.mount_path != MOUNT_PATH for mount in container.volume_mounts or ()):
            mount = v1.VolumeMount(name=name, read_only=True, mount_path=MOUNT_PATH)
            container.volume_mounts = [*(container.volume_mounts or ()), mount]
            needed = True
    if needed and not has_volume:
        spec.volumes = [*(spec.volumes or ()), _volume(name)]


def _volume(name: str) -> v1.Volume:
    token = v1.ServiceAccountTokenProjection(path="token", expiration_seconds=TOKEN_SECONDS)
    authority = v1.ConfigMapProjection(name=ROOT_CA, items=[v1.KeyToPath(key="ca.crt", path="ca.crt")])
    namespace = v1.DownwardAPIVolumeFile(
        path="namespace", field_ref=v1.ObjectFieldSelector(api_version="v1", field_path="metadata.namespace")
    )
    sources = [
        v1.VolumeProjection(service_account_token=token),
        v1.VolumeProjection(config_map=authority),
        v1.VolumeProjection(downward_api=v1.DownwardAPIProjection(items=[namespace])),
    ]
    return v1.Volume(name=name, projected=v1.ProjectedVolumeSource(sources=sources, default_mode=0o644))
