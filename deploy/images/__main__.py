"""``python -m deploy.images ARCHIVE``: build all images into one archive."""

import argparse
import sys
from pathlib import Path

from deploy.images.archive import archive
from deploy.images.build import build, kube_dns
from deploy.images.host import BuildError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    parser.add_argument("archive", type=Path, help="the file to write; 'docker load' reads it")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache/peapod", help="folder for compiled and downloaded parts"
    )
    options = parser.parse_args()
    try:
        images = [*build(options.cache), kube_dns()]
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    options.archive.write_bytes(archive(images))
    for image in images:
        print(f"{image.id[7:19]}  {'  '.join(image.tags)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
