"""Each pod runs as a service account of its namespace, and gets what it needs to talk to the API as that account.

That is a projected volume of a token, the cluster's authority and the namespace's name, mounted where every client
library looks for it.
"""

import asyncio
import random
from typing import Final

from apimachinery import errors, meta
from apimachinery.core import pods, references
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apiserver.admission import Plugin, denied, mountable_secrets
from apiserver.registry.store import Store
from apiserver.request import Attributes

DEFAULT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX: Final = "kube-api-access-"
TOKEN_SECONDS: Final = 3607
ROOT_CA: Final = "kube-root-ca.crt"
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
        if attributes.subresource not in ("", "ephemeralcontainers") or (
            old is not None and not attributes.subresource
        ):
            return
        if pods.is_mirror(obj):
            fault = _fault_of_mirror(obj)
        elif not obj.spec.service_account_name:
            fault = f"no service account specified for pod {meta.key_of(obj)}"
        else:
            account = await self._account(Key(attributes.namespace, obj.spec.service_account_name), meta.name_of(obj))
            fault = _fault_of_secrets(obj, account, attributes.subresource)
        if fault:
            raise denied(attributes, obj, fault)

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


def _fault_of_secrets(pod: v1.Pod, account: v1.ServiceAccount, subresource: str) -> str:
    if not mountable_secrets.are_enforced(account):
        return ""
    if subresource:
        return mountable_secrets.fault_of_ephemeral_containers(pod, account)
    return mountable_secrets.fault_of_pod(pod, account)


def _fault_of_mirror(pod: v1.Pod) -> str:
    if pod.spec.service_account_name:
        return "a mirror pod may not reference service accounts"
    if any(references.secrets_of(pod)):
        return "a mirror pod may not reference secrets"
    for volume in pod.spec.volumes or ():
        for source in (volume.projected.sources or ()) if volume.projected else ():
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
