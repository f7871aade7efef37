"""Everything that a container's spec only refers to, looked up: environment, command, mounts, user, profiles."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import Informer
from kubelet.containers import etc_files, oom_score, unsupported
from kubelet.containers.environment import ConfigError, Sources, environment, invalid_names, references
from kubelet.containers.events import PodEvents
from kubelet.containers.node_context import NodeContext
from kubelet.containers.termination_message import message_mount
from kubelet.references.api_objects import ApiObjects
from kubelet.references.downward import PodAddresses
from kubelet.references.expansion import expand
from kubelet.runtime import ContainerRecord, Mount, RunContainerOptions, Runtime, errors, security
from kubelet.runtime.records import latest_records
from kubelet.volumes.sub_path import SubPaths
from kubelet.volumes.volumes import container_mounts


@dataclass(frozen=True)
class Placement:
    """Where a pod's containers are made on this node."""

    sandbox: ContainerRecord
    pod_dir: Path
    volumes: Mapping[str, Path]
    """The path of each volume, by its name."""


class RunOptions:
    """Looks them up for the containers of all pods of the node."""

    def __init__(
        self,
        runtime: Runtime,
        services: Informer[core_v1.Service],
        objects: ApiObjects,
        events: PodEvents,
        node: NodeContext,
    ) -> None:
        self._runtime, self._services, self._objects = runtime, services, objects
        self._events, self._node = events, node

    async def of(
        self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int, placement: Placement
    ) -> RunContainerOptions:
        """Raises ``ConfigError``, ``VolumeError``, ``security.Unsupported``, ``TargetNotRunning``, ``ApiError``."""
        sources = await self._sources(pod, spec, placement.sandbox)
        variables = environment(pod, spec, sources)
        bind = SubPaths(placement.pod_dir, spec.name).bind
        volume_mounts = await asyncio.to_thread(container_mounts, pod, spec, placement.volumes, variables, bind)
        user = await self._user(pod, spec)
        security.check(pod, spec, apparmor=self._node.apparmor)
        unsupported.check(pod, spec, await self._runtime_handler(pod))
        seccomp = self._seccomp_profile(pod, spec)
        self._report_invalid_names(pod, spec, sources)
        targets = {mount.target for mount in volume_mounts}
        own_mounts = await asyncio.to_thread(self._own_mounts, pod, spec, attempt, placement)
        score = oom_score.oom_score_adj(pod, spec, self._node.memory)
        return RunContainerOptions(
            command=[expand(text, variables) for text in spec.command or ()],
            args=[expand(text, variables) for text in spec.args or ()],
            environment=[*variables.items()],
            mounts=[*volume_mounts, *(mount for mount in own_mounts if mount.target not in targets)],
            user=user,
            oom_score_adj=max(self._node.lowest_oom_score, score),
            seccomp=seccomp,
            process_target=self._process_target(pod, spec),
        )

    async def _runtime_handler(self, pod: core_v1.Pod) -> str:
        """Of the pod's RuntimeClass; empty without one. Raises ``ConfigError``."""
        name = pod.spec.runtime_class_name
        if not name:
            return ""
        runtime_class = await self._objects.runtime_class(name)
        if runtime_class is None:
            raise ConfigError(f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found')
        return runtime_class.handler

    async def _sources(self, pod: core_v1.Pod, spec: core_v1.Container, sandbox: ContainerRecord) -> Sources:
        config_maps, secrets = references(spec)
        namespace = meta.namespace_of(pod)
        services = self._services.list(namespace)
        if namespace != "default" and (kubernetes := self._services.get(meta.Key("default", "kubernetes"))):
            services = [*services, kubernetes]
        ips = self._node.host_ips if pod.spec.host_network else ((sandbox.ip,) if sandbox.ip else ())
        return Sources(
            config_maps=await self._objects.config_maps(pod, config_maps) if config_maps else {},
            secrets=await self._objects.secrets(pod, secrets) if secrets else {},
            services=services,
            addresses=PodAddresses(ips, self._node.host_ips),
            allocatable=self._node.allocatable,
        )

    def _report_invalid_names(self, pod: core_v1.Pod, spec: core_v1.Container, sources: Sources) -> None:
        for kind, name, keys in invalid_names(spec, sources):
            where = f"the EnvFrom {kind} {meta.namespace_of(pod)}/{name}"
            message = f"Keys [{', '.join(keys)}] from {where} were skipped since they are considered invalid "
            message += "environment variable names."
            self._events.warning(pod, "InvalidEnvironmentVariableNames", message, spec.name)

    async def _user(self, pod: core_v1.Pod, spec: core_v1.Container) -> str:
        """``user:group`` to run as; empty for the image's own. Raises ``ConfigError`` where root is not allowed."""
        own = spec.security_context or core_v1.SecurityContext()
        of_pod = pod.spec.security_context or core_v1.PodSecurityContext()
        user = own.run_as_user if own.run_as_user is not None else of_pod.run_as_user
        group = own.run_as_group if own.run_as_group is not None else of_pod.run_as_group
        non_root = own.run_as_non_root if own.run_as_non_root is not None else of_pod.run_as_non_root
        name = str(user) if user is not None else ""
        if user is None and (non_root or group is not None):
            try:
                image = await self._runtime.images.inspect(spec.image or "")
            except errors.ImageNotFound:
                return ""  # creating the container will say so
            name = str((image.get("Config") or {}).get("User") or "0").partition(":")[0]
        if non_root:
            _check_non_root(pod, spec, name, of_image=user is None)
        return name if group is None else f"{name}:{group}"

    def _seccomp_profile(self, pod: core_v1.Pod, spec: core_v1.Container) -> str:
        """The content of the node's profile that the spec names, otherwise the default. Raises ``ConfigError``."""
        name = security.localhost_seccomp(pod, spec)
        if not name:
            return "" if self._node.seccomp_default else security.UNCONFINED
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"seccomp profile {name!r} must be a path below the kubelet's seccomp directory")
        try:
            return (self._node.seccomp_root / name).read_text()
        except OSError as exc:
            raise ConfigError(f"seccomp profile {name!r} cannot be read: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise ConfigError(f"seccomp profile {name!r} is not JSON") from exc

    def _process_target(self, pod: core_v1.Pod, spec: core_v1.Container) -> str:
        """The ID of the container whose processes an ephemeral one shares. Raises ``TargetNotRunning``."""
        name = containers.target_of(pod, spec.name)
        if not name:
            return ""
        record = latest_records(self._runtime.containers.of_pod(meta.uid_of(pod))).get(name)
        if record is None or not record.running:
            raise TargetNotRunning(f'unable to find target container "{name}"')
        return record.id

    def _own_mounts(self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int, placement: Placement) -> list[Mount]:
        """The kubelet's own files in every container. Blocks."""
        mounts = self._etc_mounts(pod, placement)
        if path := spec.termination_message_path:
            mounts.append(message_mount(placement.pod_dir, spec.name, attempt, path))
        return mounts

    def _etc_mounts(self, pod: core_v1.Pod, placement: Placement) -> list[Mount]:
        node, pod_dir = self._node, placement.pod_dir
        hostname = etc_files.hostname_of(pod, node.hostname)
        resolver = etc_files.resolver_for(pod, node.resolver, node.cluster_dns, node.cluster_domain)
        hosts = etc_files.hosts_for(pod, hostname, placement.sandbox.ip, node.cluster_domain, node.hosts)
        own_name = etc_files.kernel_hostname(pod, hostname, node.cluster_domain)
        files = {"resolv.conf": resolver.text(), "hosts": hosts, "hostname": f"{own_name}\n"}
        return [Mount(etc_files.write(pod_dir / f"etc-{name}", text), f"/etc/{name}") for name, text in files.items()]


class TargetNotRunning(Exception):
    """The container whose processes an ephemeral container is to share does not run."""


def _check_non_root(pod: core_v1.Pod, spec: core_v1.Container, user: str, *, of_image: bool) -> None:
    """Raise ``ConfigError`` where ``runAsNonRoot`` forbids this user, in Kubernetes' words."""
    where = f'(pod: "{meta.name_of(pod)}_{meta.namespace_of(pod)}({meta.uid_of(pod)})", container: {spec.name})'
    if user.isdecimal() and int(user) == 0:
        if of_image:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if not user.isdecimal():
        cannot = f"image has non-numeric user ({user}), cannot verify user is non-root"
        raise ConfigError(f"container has runAsNonRoot and {cannot} {where}")
