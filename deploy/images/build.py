"""Build the images from the programs of this machine.

Needs Debian's dynamic ``busybox`` (the static one's wget crashes in an image without the host's libraries)
and gcc. Compiled and downloaded parts are kept in a cache folder.
"""

import hashlib
import re
import subprocess
from pathlib import Path

from deploy.images import python
from deploy.images.archive import Entry, Image, layer
from deploy.images.host import ENVIRONMENT, BuildError, libraries, run

HERE = Path(__file__).parent
PAUSE = "peapod/pause:1.0"
IMAGE_PROCESSING = "peapod/image-processing:1.0"
KUBE_DNS = "peapod/kube-dns:1.0"

# Loaded by glibc at run time, so ldd does not list them; glibc 2.34 and newer have them built in.
_NAME_SERVICES = ("libnss_files.so.2", "libnss_dns.so.2")

_ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def build(cache: Path) -> list[Image]:
    """The images that every node needs: pause, busybox and the sample application. Raises BuildError."""
    cache.mkdir(parents=True, exist_ok=True)
    busybox = dynamic_busybox(cache)
    version = _busybox_version(busybox)
    tree = layer(busybox_tree(busybox))
    # Manifests use the major version, 1, since Debian's releases differ in the rest.
    tags = ("latest", version.partition(".")[0], version)
    names = [f"{name}:{tag}" for name in ("peapod/busybox", "busybox") for tag in tags]
    shell = {"Cmd": ["sh"]}
    return [
        Image((PAUSE,), (layer([Entry("pause", compile_pause(cache))]),), {"Entrypoint": ["/pause"]}),
        Image(tuple(names), (tree,), shell),
        Image(
            (IMAGE_PROCESSING,),
            (tree, layer(image_processing_tree())),
            {"Cmd": ["/srv/serve"], "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}}},
        ),
    ]


def kube_dns() -> Image:
    """The image of the name server, for clusters that run it as pods. Raises BuildError."""
    etc = [Entry(f"etc/{name}", text.encode(), mode=0o644) for name, text in _ETC.items()]
    empty = [Entry(name) for name in ("dev", "proc", "sys", "run", "var")]
    base = [*python.interpreter_tree(), *etc, *empty, Entry("tmp", mode=0o1777)]
    config = {
        "Entrypoint": ["/usr/bin/python3", "-m", "kube_dns"],
        "Env": list(python.ENVIRONMENT),
        "ExposedPorts": {"53/udp": {}, "53/tcp": {}, "8081/tcp": {}},
    }
    base_paths = {entry.path for entry in base}
    added = [entry for entry in python.daemon_tree("kube_dns") if entry.path not in base_paths]
    return Image((KUBE_DNS,), (layer(base), layer(added)), config)


def compile_pause(cache: Path) -> bytes:
    """The pause program, static, so that its image contains nothing else."""
    source = HERE / "pause.c"
    flags = ["-static", "-Os", "-s", "-Wall", "-Wl,--build-id=none"]
    digest = hashlib.sha256(source.read_bytes() + " ".join(flags).encode()).hexdigest()[:16]
    program = cache / f"pause-{digest}"
    if not program.exists():
        temporary = program.with_suffix(".new")
        run(["gcc", *flags, "-o", str(temporary), str(source)])
        temporary.replace(program)
    return program.read_bytes()


def dynamic_busybox(cache: Path) -> Path:
    """A dynamically linked busybox: the installed one, or one extracted from the package without installing it.

    Where ``busybox-static`` is installed, as on Ubuntu servers, installing ``busybox`` would remove it.
    """
    for path in (Path("/usr/bin/busybox"), Path("/bin/busybox"), cache / "busybox/bin/busybox"):
        if path.exists() and libraries(path):
            return path
    run(["apt-get", "download", "busybox"], folder=cache)
    packages = sorted(cache.glob("busybox_*.deb"))
    if not packages:
        raise BuildError("Debian's package busybox could not be downloaded")
    run(["dpkg-deb", "--extract", str(packages[-1]), str(cache / "busybox")])
    busybox = next((path for path in cache.glob("busybox/**/bin/busybox") if path.is_file()), None)
    if busybox is None or not libraries(busybox):
        raise BuildError(f"{packages[-1].name} contains no dynamically linked busybox")
    return busybox


def busybox_tree(busybox: Path) -> list[Entry]:
    """A small system: busybox under the name of each of its applets, with its libraries."""
    needed = libraries(busybox)
    folder = next(path.parent for path in needed if path.name.startswith("libc.so"))
    needed += [folder / name for name in _NAME_SERVICES if (folder / name).exists()]
    entries = [Entry(str(path).lstrip("/"), path.read_bytes()) for path in needed]
    entries.append(Entry("bin/busybox", busybox.read_bytes()))
    applets = set(run([str(busybox), "--list"]).split()) - {"busybox"}
    if wget_crashes_on_timeout(busybox):
        applets.discard("wget")
        entries.append(Entry("bin/wget", (HERE / "busybox/wget").read_bytes()))
    entries += [Entry(f"bin/{applet}", target="busybox", mode=0o777) for applet in applets]
    entries += [Entry(f"etc/{name}", text.encode(), mode=0o644) for name, text in _ETC.items()]
    entries += [Entry(name) for name in ("dev", "proc", "sys", "run", "var", "usr/sbin", "sbin")]
    entries += [Entry("root", mode=0o700), Entry("tmp", mode=0o1777)]
    entries.append(Entry("usr/bin", target="../bin", mode=0o777))  # scripts say /usr/bin/env
    return entries


def wget_crashes_on_timeout(busybox: Path) -> bool:
    """Whether this busybox crashes on wget's option -T, as Debian's 1.35 does; tries a port that refuses at once."""
    trial = [str(busybox), "wget", "-T", "1", "-O", "/dev/null", "http://127.0.0.1:9/"]
    return subprocess.run(trial, capture_output=True, env=ENVIRONMENT, check=False).returncode < 0


def image_processing_tree() -> list[Entry]:
    folder = HERE / "image-processing"
    site = "srv/image-processing"
    return [
        Entry("srv/serve", (folder / "serve").read_bytes()),
        # busybox httpd runs this script for a folder without an index page.
        Entry(f"{site}/cgi-bin/index.cgi", (folder / "index.cgi").read_bytes()),
        Entry(f"{site}/cgi-bin/negative", (folder / "negative").read_bytes()),
    ]


def _busybox_version(busybox: Path) -> str:
    match = re.match(r"BusyBox v(\d+\.\d+)", run([str(busybox), "--help"]))
    if match is None:
        raise BuildError(f"{busybox} does not report its version")
    return match[1]
