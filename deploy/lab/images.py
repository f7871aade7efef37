"""Load the images that the cluster needs into each node's engine; there is no registry to pull them from."""

from collections.abc import Sequence

from deploy.images.archive import Image, archive
from deploy.images.build import build, kube_dns
from deploy.images.host import BuildError
from deploy.lab import engine
from deploy.lab.errors import LabError
from deploy.lab.execute import attempt
from deploy.lab.lab import IN_PODS, Lab


def built(lab: Lab) -> list[Image]:
    """Build the images, with a cache in the lab's state. Raises LabError when they cannot be built here."""
    try:
        built_images = build(lab.state / "images")
        return [*built_images, kube_dns()] if lab.settings.dns == IN_PODS else built_images
    except BuildError as error:
        raise LabError(f"the images cannot be built: {error}") from error


def load(lab: Lab, node: str, images: Sequence[Image]) -> int:
    """Load the images that a node's engine lacks under any of their names. Returns how many it loaded."""
    missing = [image for image in images if not _is_loaded(lab, node, image)]
    if missing:
        file = lab.state / "images" / f"{node}.tar"
        file.write_bytes(archive(missing))
        try:
            engine.docker(lab, node, "load", "--quiet", "--input", str(file))
        finally:
            file.unlink()
    return len(missing)


def _is_loaded(lab: Lab, node: str, image: Image) -> bool:
    """Whether every name of the image refers to this image in the engine."""
    host = f"unix://{engine.socket_of(lab, node)}"
    answer = attempt([engine.DOCKER, "--host", host, "image", "inspect", "--format", "{{.Id}}", *image.tags])
    return answer.returncode == 0 and answer.stdout.split() == [image.id] * len(image.tags)
