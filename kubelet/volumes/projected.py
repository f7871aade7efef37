"""configMap, secret, downwardAPI and projected: four types of volumes whose files come from the API."""

import os
from collections.abc import Sequence
from pathlib import Path

from apimachinery import errors
from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.references import downward
from kubelet.volumes import mounts, payload
from kubelet.volumes.payload import File
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource

DEFAULT_MODE = 0o644

_TMPFS_SIZE = 128 * 1024 * 1024
"""Bytes of the tmpfs for a volume's secrets, old and new ones together."""


class _ApiVolume(Plugin):
    follows_api = True


class ConfigMapVolume(_ApiVolume):
    kind = "configmap"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.Volume) and source.config_map is not None

    async def set_up(self, request: Request) -> Path:
        source = _volume(request).config_map or core_v1.ConfigMapVolumeSource()
        mode = _mode(source.default_mode)
        return _write(request, await _config_map(request, source.name, source.items, mode, bool(source.optional)))


class SecretVolume(_ApiVolume):
    kind = "secret"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.Volume) and source.secret is not None

    async def set_up(self, request: Request) -> Path:
        source = _volume(request).secret or core_v1.SecretVolumeSource()
        mode = _mode(source.default_mode)
        files = await _secret(request, source.secret_name, source.items, mode, bool(source.optional))
        return _write(request, files, secret=True)


class DownwardAPIVolume(_ApiVolume):
    kind = "downward-api"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.Volume) and source.downward_api is not None

    async def set_up(self, request: Request) -> Path:
        source = _volume(request).downward_api or core_v1.DownwardAPIVolumeSource()
        return _write(request, _downward(request, source.items or (), _mode(source.default_mode)))


class ProjectedVolume(_ApiVolume):
    kind = "projected"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.Volume) and source.projected is not None

    async def set_up(self, request: Request) -> Path:
        projected = _volume(request).projected or core_v1.ProjectedVolumeSource()
        mode = _mode(projected.default_mode)
        files: dict[str, File] = {}
        for source in projected.sources or ():
            files |= await _projection(request, source, mode)
        secret = any(source.secret or source.service_account_token for source in projected.sources or ())
        return _write(request, files, secret=secret)


def _volume(request: Request) -> core_v1.Volume:
    assert isinstance(request.source, core_v1.Volume), "see handles"
    return request.source


async def _projection(request: Request, source: core_v1.VolumeProjection, mode: int) -> dict[str, File]:
    if config_map := source.config_map:
        return await _config_map(request, config_map.name, config_map.items, mode, bool(config_map.optional))
    if secret := source.secret:
        return await _secret(request, secret.name, secret.items, mode, bool(secret.optional))
    if downward_api := source.downward_api:
        return _downward(request, downward_api.items or (), mode)
    if token := source.service_account_token:
        return {payload.checked_path(token.path): await _token(request, token, mode)}
    raise VolumeError("this kind of projected source is not supported")


async def _token(request: Request, source: core_v1.ServiceAccountTokenProjection, mode: int) -> File:
    """Readable only by the containers' user, if they have the same, and the pod's group."""
    try:
        text = await request.objects.tokens.of(request.pod, source)
    except (errors.NotFound, errors.Forbidden, errors.BadRequest, errors.Conflict, errors.Invalid) as exc:
        raise VolumeError(f"failed to fetch token: {exc}") from exc
    security = request.pod.spec.security_context or core_v1.PodSecurityContext()
    owner = _common_user(request.pod)
    return File(text.encode(), 0o600 if owner is not None or security.fs_group is not None else mode, owner)


async def _config_map(
    request: Request, name: str | None, items: Sequence[core_v1.KeyToPath] | None, mode: int, optional: bool
) -> dict[str, File]:
    config_map = await request.objects.config_map(request.pod, name or "")
    if config_map is None:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    data = {key: value.encode() for key, value in (config_map.data or {}).items()}
    data |= request.objects.binary_data(config_map)
    return payload.select("config", data, items, mode, optional=optional)


async def _secret(
    request: Request, name: str | None, items: Sequence[core_v1.KeyToPath] | None, mode: int, optional: bool
) -> dict[str, File]:
    data = await request.objects.secret_data(request.pod, name or "")
    if data is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    return payload.select("secret", data, items, mode, optional=optional)


def _downward(request: Request, items: Sequence[core_v1.DownwardAPIVolumeFile], mode: int) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in items:
        try:
            text = _downward_text(request, item)
        except downward.UnknownField as exc:
            raise VolumeError(str(exc)) from exc
        files[payload.checked_path(item.path)] = File(text.encode(), mode if item.mode is None else item.mode)
    return files


def _downward_text(request: Request, item: core_v1.DownwardAPIVolumeFile) -> str:
    if item.field_ref:
        addresses = downward.PodAddresses(host_ips=request.host_ips)
        return downward.field_value(request.pod, item.field_ref.field_path, addresses)
    if item.resource_field_ref:
        first = request.pod.spec.containers[0]
        return downward.resource_value(request.pod, first, item.resource_field_ref, request.allocatable)
    raise downward.UnknownField(f"{item.path}: neither fieldRef nor resourceFieldRef")


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _write(request: Request, files: dict[str, File], *, secret: bool = False) -> Path:
    """Secrets and tokens are kept in memory, never on the node's disk (unless an older kubelet has put them there)."""
    security, directory = request.pod.spec.security_context, request.directory
    if secret and not (directory / payload.DATA).is_symlink():
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not os.path.ismount(directory):
            mounts.mount_tmpfs(directory, f"mode=0755,size={_TMPFS_SIZE}")
    payload.write(directory, files, security.fs_group if security else None)
    return directory


def _common_user(pod: core_v1.Pod) -> int | None:
    """The user that all its containers run as, if the spec sets the same one for all."""
    of_pod = pod.spec.security_context.run_as_user if pod.spec.security_context else None
    users = set[int | None]()
    for container in (*containers.init_containers(pod), *pod.spec.containers):
        own = container.security_context.run_as_user if container.security_context else None
        users.add(of_pod if own is None else own)
    return users.pop() if len(users) == 1 else None
