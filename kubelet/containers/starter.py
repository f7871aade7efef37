"""Starts one container of a pod: its image, its configuration, create, start; tells people by events.

Whatever keeps it from running comes out as ``NotStarted`` with the waiting reason that Kubernetes has for it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from apimachinery import errors as api_errors
from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import EventRecorder, Informer
from kubelet.containers import etc_files
from kubelet.containers import oom_score as qos
from kubelet.containers.environment import ConfigError, Sources, environment, invalid_names, references
from kubelet.containers.node_context import NodeContext
from kubelet.containers.pull_secrets import BadSecret, Credential, credentials_for
from kubelet.containers.termination_message import message_mount
from kubelet.pods.plan import Start, latest_records
from kubelet.pods.status import Waiting
from kubelet.references.api_objects import ApiObjects
from kubelet.references.downward import PodAddresses
from kubelet.references.expansion import expand
from kubelet.runtime import ContainerRecord, Mount, Resolved, Runtime, errors, security
from kubelet.runtime.images import Pull, is_valid
from kubelet.volumes import VolumeError
from kubelet.volumes.sub_path import SubPaths
from kubelet.volumes.volumes import container_mounts

log = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds until a container that could not be configured or created is tried again."""

_SHOW_PULL_ERROR = 2.0
"""Seconds for which a failed pull shows as ErrImagePull, before it shows as ImagePullBackOff."""


class NotStarted(Exception):
    """The container waits. ``retry_in`` seconds; None: something else will wake the pod's worker."""

    def __init__(self, reason: str, message: str = "", retry_in: float | None = RETRY) -> None:
        super().__init__(reason, message)
        self.waiting = Waiting(reason, message)
        self.retry_in = retry_in


class ContainerStarter:
    """For all pods of the node."""

    def __init__(
        self,
        runtime: Runtime,
        recorder: EventRecorder,
        services: Informer[core_v1.Service],
        objects: ApiObjects,
        node: NodeContext,
    ) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._services = services
        self._objects = objects
        self._node = node
        self._told: dict[tuple[str, str], Pull] = {}
        self._pulled: set[tuple[str, str, int]] = set()

    async def start(
        self, pod: core_v1.Pod, start: Start, sandbox: ContainerRecord, pod_dir: Path, volumes: Mapping[str, Path]
    ) -> None:
        """Create and start. Raises ``NotStarted``; ``errors.Unavailable`` when the engine is away."""
        spec = start.container
        if not is_valid(spec.image or ""):
            message = f'Failed to inspect image "{spec.image}": couldn\'t parse image name: invalid reference format'
            self._warn(pod, spec, "InspectFailed", message)
            raise NotStarted("InvalidImageName", message)
        waiter = (meta.uid_of(pod), spec.name)
        is_due = _policy(spec) == "Always" and (*waiter, start.attempt) not in self._pulled
        if is_due or waiter in self._told:  # one that was begun is heard to its end
            await self._pull(pod, start)
        resolved = await self._resolve(pod, start, sandbox, pod_dir, volumes)
        id = await self._create(pod, start, sandbox, resolved)
        await self._run(pod, spec, id)

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._told = {key: pull for key, pull in self._told.items() if key[0] != pod_uid}
        self._pulled = {key for key in self._pulled if key[0] != pod_uid}

    async def _create(self, pod: core_v1.Pod, start: Start, sandbox: ContainerRecord, resolved: Resolved) -> str:
        spec = start.container
        try:
            id = await self._runtime.create_container(pod, spec, start.attempt, sandbox, resolved)
        except errors.ImageNotFound as exc:
            if _policy(spec) == "Never":
                message = f'Container image "{spec.image}" is not present with pull policy of Never'
                self._warn(pod, spec, "ErrImageNeverPull", message)
                raise NotStarted("ErrImageNeverPull", message) from exc
            await self._pull(pod, start)
            return await self._create(pod, start, sandbox, resolved)
        except errors.Unavailable:
            raise
        except errors.EngineError as exc:
            self._warn(pod, spec, "Failed", f"Error: {exc}")
            raise NotStarted("CreateContainerError", str(exc)) from exc
        if (meta.uid_of(pod), spec.name, start.attempt) not in self._pulled:
            message = f'Container image "{spec.image}" already present on machine'
            self._tell(pod, spec, "Pulled", message)
        self._tell(pod, spec, "Created", f"Created container: {spec.name}")
        return id

    async def _run(self, pod: core_v1.Pod, spec: core_v1.Container, id: str) -> None:
        try:
            await self._runtime.start(id)
        except errors.Unavailable:
            raise
        except errors.EngineError as exc:
            self._warn(pod, spec, "Failed", f"Error: {exc}")
            raise NotStarted("RunContainerError", str(exc), retry_in=None) from exc
        self._tell(pod, spec, "Started", f"Started container {spec.name}")

    async def _pull(self, pod: core_v1.Pod, start: Start) -> None:
        """Return when the image was pulled for this start; raise ``NotStarted`` until then."""
        spec, image = start.container, start.container.image or ""
        waiter = (meta.uid_of(pod), spec.name)
        pull = self._runtime.images.pull(image, waiter, await self._credentials(pod, image))
        news = self._told.get(waiter) is not pull
        if pull.under_way:
            if news:
                self._tell(pod, spec, "Pulling", f'Pulling image "{image}"')
                self._told[waiter] = pull
            raise NotStarted("ContainerCreating", retry_in=None)
        if pull.done:
            self._tell(pod, spec, "Pulled", f'Successfully pulled image "{image}" in {pull.seconds * 1000:.0f}ms')
            self._told.pop(waiter, None)
            self._pulled.add((*waiter, start.attempt))
            return
        self._told.pop(waiter, None)
        again = self._runtime.images.seconds_to_retry(pull)
        if pull.seconds_since_end(self._runtime.images.now()) < _SHOW_PULL_ERROR:
            self._warn(pod, spec, "Failed", f'Failed to pull image "{image}": {pull.failure}')
            self._warn(pod, spec, "Failed", "Error: ErrImagePull")
            raise NotStarted("ErrImagePull", pull.failure, min(again, _SHOW_PULL_ERROR))
        message = f'Back-off pulling image "{image}"'
        self._tell(pod, spec, "BackOff", message)
        self._warn(pod, spec, "Failed", "Error: ImagePullBackOff")
        raise NotStarted("ImagePullBackOff", f"{message}: {pull.failure}", again)

    async def _credentials(self, pod: core_v1.Pod, image: str) -> tuple[Credential, ...]:
        """From the pod's pull secrets. One that is not there or not right is told, and the pull tried all the same."""
        names = [one.name for one in pod.spec.image_pull_secrets or () if one.name]
        if not names:
            return ()
        try:
            secrets = await self._objects.secrets(pod, names)
        except api_errors.ApiError as exc:
            raise NotStarted("ErrImagePull", f"cannot read the pull secrets: {exc}", retry_in=1.0) from exc
        if missing := [name for name in names if name not in secrets]:
            message = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            message += "; attempting to pull the image may not succeed."
            self._recorder.event(pod, "Warning", "FailedToRetrieveImagePullSecret", message)
        try:
            return credentials_for(image, secrets.values())
        except BadSecret as exc:
            self._recorder.event(
                pod, "Warning", "FailedToRetrieveImagePullSecret", f"pull secret cannot be used: {exc}"
            )
            return ()

    async def _resolve(
        self, pod: core_v1.Pod, start: Start, sandbox: ContainerRecord, pod_dir: Path, volumes: Mapping[str, Path]
    ) -> Resolved:
        spec = start.container
        try:
            sources = await self._sources(pod, spec, sandbox)
            variables = environment(pod, spec, sources)
            bind = SubPaths(pod_dir, spec.name).bind
            mounts = await asyncio.to_thread(container_mounts, pod, spec, volumes, variables, bind)
            user = await self._user(pod, spec)
            security.check(pod, spec, apparmor=self._node.apparmor)
            seccomp = self._seccomp(pod, spec)
        except (ConfigError, VolumeError, security.Unsupported) as exc:
            self._warn(pod, spec, "Failed", f"Error: {exc}")
            raise NotStarted("CreateContainerConfigError", str(exc)) from exc
        except api_errors.ApiError as exc:
            raise NotStarted("CreateContainerConfigError", str(exc), retry_in=1.0) from exc
        for kind, name, keys in invalid_names(spec, sources):
            where = f"the EnvFrom {kind} {meta.namespace_of(pod)}/{name}"
            message = f"Keys [{', '.join(keys)}] from {where} were skipped since they are considered invalid "
            self._warn(pod, spec, "InvalidEnvironmentVariableNames", f"{message}environment variable names.")
        taken = {mount.target for mount in mounts}
        own = [*self._etc_mounts(pod, sandbox, pod_dir)]
        if spec.termination_message_path:
            own.append(message_mount(pod_dir, spec.name, start.attempt, spec.termination_message_path))
        score = qos.oom_score_adj(pod, spec, self._node.memory)
        return Resolved(
            command=[expand(one, variables) for one in spec.command or ()],
            args=[expand(one, variables) for one in spec.args or ()],
            environment=[*variables.items()],
            mounts=[*mounts, *(mount for mount in own if mount.target not in taken)],
            user=user,
            oom_score_adj=max(self._node.lowest_oom_score, score),
            seccomp=seccomp,
            process_target=self._target(pod, spec),
        )

    def _seccomp(self, pod: core_v1.Pod, spec: core_v1.Container) -> str:
        """The profile of the node's that is asked for. Raises ``ConfigError``."""
        name = security.localhost_seccomp(pod, spec)
        if not name:
            return ""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"seccomp profile {name!r} must be a path below the kubelet's seccomp directory")
        try:
            return (self._node.seccomp_root / name).read_text()
        except OSError as exc:
            raise ConfigError(f"seccomp profile {name!r} cannot be read: {exc.strerror}") from exc

    def _target(self, pod: core_v1.Pod, spec: core_v1.Container) -> str:
        """The container that an ephemeral one wants to look at. Raises ``NotStarted`` while it does not run."""
        name = containers.target_of(pod, spec.name)
        if not name:
            return ""
        record = latest_records(self._runtime.containers.of_pod(meta.uid_of(pod))).get(name)
        if record is None or not record.running:
            message = f'unable to find target container "{name}"'
            raise NotStarted("CreateContainerError", message, retry_in=2.0)
        return record.id

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
            allocatable=self._node.allocatable(),
        )

    def _etc_mounts(self, pod: core_v1.Pod, sandbox: ContainerRecord, pod_dir: Path) -> Sequence[Mount]:
        node = self._node
        hostname = etc_files.hostname_of(pod, node.hostname)
        resolver = etc_files.resolver_for(pod, node.resolver, node.cluster_dns, node.cluster_domain)
        hosts = etc_files.hosts_for(pod, hostname, sandbox.ip, node.cluster_domain, node.hosts)
        own_name = etc_files.kernel_hostname(pod, hostname, node.cluster_domain)
        files = {"resolv.conf": resolver.text(), "hosts": hosts, "hostname": f"{own_name}\n"}
        return [
            Mount(etc_files.write_once(pod_dir / f"etc-{name}", text), f"/etc/{name}") for name, text in files.items()
        ]

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

    def _tell(self, pod: core_v1.Pod, spec: core_v1.Container, reason: str, message: str) -> None:
        self._recorder.event(pod, "Normal", reason, message, field_path=containers.field_path(pod, spec.name))

    def _warn(self, pod: core_v1.Pod, spec: core_v1.Container, reason: str, message: str) -> None:
        self._recorder.event(pod, "Warning", reason, message, field_path=containers.field_path(pod, spec.name))


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


def _policy(spec: core_v1.Container) -> str:
    """The pull policy; the apiserver has set it, by the same rule."""
    if spec.image_pull_policy:
        return spec.image_pull_policy
    image = spec.image or ""
    untagged = ":" not in image.rpartition("/")[2] and "@" not in image
    return "Always" if untagged or image.endswith(":latest") else "IfNotPresent"
