"""Each pod runs as a service account of its namespace, and is given what it needs to speak to the API as that.

That is a projected volume of a token, the cluster's authority and the namespace's name, mounted where every client
library looks for it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apiserver.admission import Plugin
from apiserver.request import Attributes

DEFAULT: Final = "default"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX: Final = "kube-api-access-"
TOKEN_SECONDS: Final = 3607
ROOT_CA: Final = "kube-root-ca.crt"
_MIRROR: Final = "kubernetes.io/config.mirror"
_PATIENCE: Final = 2.0
_RETRY: Final = 0.05
"""Seconds: a controller makes a new namespace's account, so a pod that comes right after waits for it a moment."""

FindAccount = Callable[[Key], Awaitable[v1.ServiceAccount | None]]


class ServiceAccount(Plugin):
    """``find`` must show an account that was created just before.

    Where nobody signs tokens (``mounts_tokens`` is False) a pod has its account, but nothing is mounted: it would
    wait for ever.
    """

    def __init__(self, find: FindAccount, *, mounts_tokens: bool = True) -> None:
        self._find, self._mounts_tokens = find, mounts_tokens

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if not isinstance(obj, v1.Pod) or not _is_new(attributes):
            return
        if _MIRROR in meta.annotations_of(obj):
            return  # a mirror that differs from what it shows would be taken away by its kubelet
        spec = obj.spec
        spec.service_account_name = spec.service_account = spec.service_account_name or DEFAULT
        account = await self._account(Key(attributes.namespace, spec.service_account_name), meta.name_of(obj))
        if self._mounts_tokens and _mounts_token(spec, account):
            _mount(spec)
        if not spec.image_pull_secrets and account.image_pull_secrets:
            spec.image_pull_secrets = [v1.LocalObjectReference(name=one.name) for one in account.image_pull_secrets]

    async def validate(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if not isinstance(obj, v1.Pod) or not _is_new(attributes) or _MIRROR not in meta.annotations_of(obj):
            return
        if fault := _fault_of_mirror(obj.spec):
            raise errors.forbidden("pods", "", meta.name_of(obj), fault)

    async def _account(self, key: Key, pod: str) -> v1.ServiceAccount:
        """Raises Forbidden if there is none of that name."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_PATIENCE if key.name == DEFAULT else 0)
        while (account := await self._find(key)) is None:
            if loop.time() >= deadline:
                why = f'error looking up service account {key}: serviceaccount "{key.name}" not found'
                raise errors.forbidden("pods", "", pod, why)
            await asyncio.sleep(_RETRY)
        return account


def _is_new(attributes: Attributes) -> bool:
    return attributes.verb == "create" and not attributes.subresource


def _fault_of_mirror(spec: v1.PodSpec) -> str:
    if spec.service_account_name:
        return "a mirror pod may not reference service accounts"
    for volume in spec.volumes or ():
        if volume.secret is not None:
            return "a mirror pod may not reference secrets"
        for source in (volume.projected.sources or ()) if volume.projected else ():
            if source.secret is not None:
                return "a mirror pod may not reference secrets"
            if source.service_account_token is not None:
                return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _mounts_token(spec: v1.PodSpec, account: v1.ServiceAccount) -> bool:
    """The pod's word counts before the account's; without either it does."""
    for wish in (spec.automount_service_account_token, account.automount_service_account_token):
        if wish is not None:
            return wish
    return True


def _mount(spec: v1.PodSpec) -> None:
    """Mount the token in each container that has nothing there already."""
    names = [one.name for one in spec.volumes or ()]
    name = next((one for one in names if one.startswith(VOLUME_PREFIX)), "")
    has_volume = bool(name)
    name = name or VOLUME_PREFIX + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
    needed = False
    for container in (*(spec.init_containers or ()), *spec.containers):
        if all(one.mount_path != MOUNT_PATH for one in container.volume_mounts or ()):
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
