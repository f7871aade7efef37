"""A container's image: pulled when its policy says so or it is missing, with an event for every step.

A pull goes on in the background (``runtime.images``) and never blocks a pod's worker: the container waits, and the worker
is woken when the pull has ended.
"""

from apimachinery import errors, meta
from apimachinery.types import core_v1
from kubelet.containers.events import PodEvents
from kubelet.containers.pull_secrets import BadSecret, Credential, credentials_for
from kubelet.containers.waiting import CREATING, Waiting
from kubelet.references.api_objects import ApiObjects
from kubelet.runtime.images import Images, Pull, is_valid

_SHOW_PULL_ERROR = 2.0
"""Seconds for which a failed pull shows as ErrImagePull, before it shows as ImagePullBackOff."""


class ImageManager:
    """For all pods of the node."""

    def __init__(self, images: Images, objects: ApiObjects, events: PodEvents) -> None:
        self._images, self._objects, self._events = images, objects, events
        self._announced: dict[tuple[str, str], Pull] = {}
        """Pulls that have had their Pulling event, by pod UID and container."""
        self._pulled: set[tuple[str, str, int]] = set()
        """Pod UID, container and attempt whose image was pulled for it."""

    async def ensure(self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int) -> Waiting | None:
        """Before a container is created: pull its image if its policy says so; why the container waits, if it does."""
        image = spec.image or ""
        if not is_valid(image):
            message = f'Failed to inspect image "{image}": couldn\'t parse image name: invalid reference format'
            self._events.warning(pod, "InspectFailed", message, spec.name)
            return Waiting("InvalidImageName", message)
        always = pull_policy(spec) == "Always" and not self.was_pulled(pod, spec, attempt)
        if (
            always or (meta.uid_of(pod), spec.name) in self._announced
        ):  # a pull that was announced is followed to its end
            return await self._pull(pod, spec, attempt)
        return None

    async def ensure_missing(self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int) -> Waiting | None:
        """The engine does not have the image: pull it unless its policy forbids that."""
        if pull_policy(spec) != "Never":
            return await self._pull(pod, spec, attempt)
        message = f'Container image "{spec.image}" is not present with pull policy of Never'
        self._events.warning(pod, "ErrImageNeverPull", message, spec.name)
        return Waiting("ErrImageNeverPull", message)

    def was_pulled(self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int) -> bool:
        """Whether the image was pulled for this very attempt."""
        return (meta.uid_of(pod), spec.name, attempt) in self._pulled

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._announced = {key: pull for key, pull in self._announced.items() if key[0] != pod_uid}
        self._pulled = {key for key in self._pulled if key[0] != pod_uid}

    async def _pull(self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int) -> Waiting | None:
        """None once the image was pulled for this attempt."""
        image, waiter = spec.image or "", (meta.uid_of(pod), spec.name)
        try:
            credentials = await self._credentials(pod, image)
        except errors.ApiError as exc:
            return Waiting("ErrImagePull", f"cannot read the pull secrets: {exc}", retry_in=1.0)
        pull = self._images.pull(image, waiter, credentials)
        if pull.under_way:
            if self._announced.get(waiter) is not pull:
                self._events.normal(pod, "Pulling", f'Pulling image "{image}"', spec.name)
                self._announced[waiter] = pull
            return Waiting(CREATING, retry_in=None)
        self._announced.pop(waiter, None)
        if pull.done:
            message = f'Successfully pulled image "{image}" in {pull.seconds * 1000:.0f}ms'
            self._events.normal(pod, "Pulled", message, spec.name)
            self._pulled.add((*waiter, attempt))
            return None
        return self._failed(pod, spec, pull)

    def _failed(self, pod: core_v1.Pod, spec: core_v1.Container, pull: Pull) -> Waiting:
        retry_in = self._images.seconds_to_retry(pull)
        if pull.seconds_since_end(self._images.now()) < _SHOW_PULL_ERROR:
            message = f'Failed to pull image "{pull.image}": {pull.failure}'
            self._events.warning(pod, "Failed", message, spec.name)
            self._events.warning(pod, "Failed", "Error: ErrImagePull", spec.name)
            return Waiting("ErrImagePull", pull.failure, min(retry_in, _SHOW_PULL_ERROR))
        message = f'Back-off pulling image "{pull.image}"'
        self._events.normal(pod, "BackOff", message, spec.name)
        self._events.warning(pod, "Failed", "Error: ImagePullBackOff", spec.name)
        return Waiting("ImagePullBackOff", f"{message}: {pull.failure}", retry_in)

    async def _credentials(self, pod: core_v1.Pod, image: str) -> tuple[Credential, ...]:
        """From the pod's pull secrets. One that is missing or malformed is reported, and the pull tried without it."""
        names = [reference.name for reference in pod.spec.image_pull_secrets or () if reference.name]
        if not names:
            return ()
        secrets = await self._objects.secrets(pod, names)
        if missing := [name for name in names if name not in secrets]:
            message = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            message += "; attempting to pull the image may not succeed."
            self._events.warning(pod, "FailedToRetrieveImagePullSecret", message)
        try:
            return credentials_for(image, secrets.values())
        except BadSecret as exc:
            self._events.warning(pod, "FailedToRetrieveImagePullSecret", f"pull secret cannot be used: {exc}")
            return ()


def pull_policy(spec: core_v1.Container) -> str:
    """Always, IfNotPresent or Never; the apiserver has set it, by the same rule."""
    if spec.image_pull_policy:
        return spec.image_pull_policy
    image = spec.image or ""
    untagged = ":" not in image.rpartition("/")[2] and "@" not in image
    return "Always" if untagged or image.endswith(":latest") else "IfNotPresent"
