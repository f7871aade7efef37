"""A lab's name, settings, paths and namespaces.

Nothing here changes the machine except ``Settings.save`` and the claim in /run. State that survives a reboot is in
``.peapod/`` of the checkout (``.peapod-<name>/`` for a named lab). Sockets and other state are in
``/run/peapod/<name>``, since a socket's path is limited to 108 bytes and a checkout's path may be longer.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.lab.addresses import LABS, MAX_NODES, Addresses
from deploy.lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = Path("/run/peapod")
DEFAULT = "default"
MASTER = "master"
AS_PROCESS, IN_PODS = "process", "pods"
"""How the cluster's name server runs: as a daemon of the master, or as pods."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """The settings with which the lab was created; they are valid until ``clean``."""

    index: int
    """The lab's number, which determines its addresses."""
    nodes: int
    egress: bool = False
    """Whether nodes and pods reach the outside through the host."""
    dns: str = AS_PROCESS
    """``AS_PROCESS`` or ``IN_PODS``."""

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> "Settings | None":
        try:
            values = json.loads(path.read_text())
            index, nodes, egress = int(values["index"]), int(values["nodes"]), bool(values["egress"])
            settings = Settings(index, nodes, egress, str(values.get("dns", AS_PROCESS)))  # older state lacks it
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} cannot be read ({error}); 'make clean' removes the lab's state") from error
        in_range = 0 <= settings.index < LABS and 1 <= settings.nodes <= MAX_NODES
        if not in_range or settings.dns not in (AS_PROCESS, IN_PODS):
            raise LabError(f"{path} contains values out of range; 'make clean' removes the lab's state")
        return settings


@dataclass(frozen=True)
class Lab:
    """A lab's names and paths. ``settings`` are those of the state folder, or those of a new lab."""

    name: str
    settings: Settings
    checkout: Path = CHECKOUT

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.settings.index)

    @property
    def prefix(self) -> str:
        return prefix(self.name)

    @property
    def state(self) -> Path:
        return state_of(self.name, self.checkout)

    @property
    def run(self) -> Path:
        return run_of(self.name)

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The user's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def token(self) -> Path:
        """The user's bearer token, for ``curl``."""
        return self.state / "token"

    @property
    def server(self) -> str:
        return f"https://{self.addresses.master}:6443"

    @property
    def server_file(self) -> Path:
        """The server's URL, for scripts."""
        return self.state / "server"

    @property
    def curlrc(self) -> Path:
        """Configuration for ``curl -K``: certificate authority and token."""
        return self.state / "curlrc"

    def daemon_kubeconfig(self, daemon: str) -> Path:
        return self.state / "kubeconfigs" / f"{daemon}.kubeconfig"

    @property
    def records(self) -> Path:
        """What is to run: a folder for each machine, with a file for each daemon."""
        return self.state / "run"

    def log(self, node: str, daemon: str) -> Path:
        return self.state / "logs" / node / f"{daemon}.log"

    @property
    def nodes(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.settings.nodes + 1)]

    def node_address(self, node: str) -> str:
        return str(self.addresses.node(int(node.removeprefix("node-"))))

    def node_state(self, node: str) -> Path:
        return self.state / "nodes" / node

    def node_run(self, node: str) -> Path:
        return self.run / node

    @property
    def bridge_namespace(self) -> str:
        """The network namespace with the bridge that connects the lab's machines."""
        return f"{self.prefix}-net"

    def namespace(self, node: str) -> str:
        """The network namespace of a node, or of ``master``."""
        return f"{self.prefix}-{node}"

    @property
    def namespaces(self) -> list[str]:
        return [self.bridge_namespace, *(self.namespace(node) for node in [MASTER, *self.nodes])]


def prefix(name: str) -> str:
    return "peapod" if name == DEFAULT else f"peapod-{name}"


def state_of(name: str, checkout: Path = CHECKOUT) -> Path:
    return checkout / (".peapod" if name == DEFAULT else f".peapod-{name}")


def run_of(name: str) -> Path:
    return RUN / name


def settings_path(name: str, checkout: Path = CHECKOUT) -> Path:
    return state_of(name, checkout) / "lab.json"


def known_labs(checkout: Path = CHECKOUT) -> dict[str, Settings]:
    """All labs with state in this checkout, by name."""
    labs = {}
    for path in sorted(checkout.glob(".peapod*/lab.json")):
        settings = Settings.load(path)
        if settings is not None:
            labs[path.parent.name.removeprefix(".peapod").removeprefix("-") or DEFAULT] = settings
    return labs


def validate_name(name: str) -> str:
    """``name``, or the default lab's name if it is empty. Raises LabError for an invalid name."""
    if not name:
        return DEFAULT
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is not a valid lab name: use up to 32 of a-z, 0-9 and '-'")
    return name


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Lock the lab, so that only one command works on it at a time. Raises LabError when another one does."""
    RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(RUN / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another command is working on the lab {name!r}; wait until it ends") from None
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Claim:
    """Which checkout runs the lab of a name on this host, and its number. Gone after a reboot."""

    checkout: Path
    index: int


def claim_of(name: str) -> Claim | None:
    try:
        values = json.loads((run_of(name) / "claim.json").read_text())
        return Claim(Path(values["checkout"]), int(values["index"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{run_of(name)}/claim.json cannot be read: {error}") from error


def claims() -> dict[str, Claim]:
    """All labs that are up on this host, by name."""
    claimed = {}
    for path in sorted(RUN.glob("*/claim.json")):
        claim = claim_of(path.parent.name)
        if claim is not None:
            claimed[path.parent.name] = claim
    return claimed


def claim(lab: Lab) -> None:
    """Record, before anything is created, that what has this lab's name on the host belongs to this checkout."""
    lab.run.mkdir(mode=0o711, parents=True, exist_ok=True)
    record = {"checkout": str(lab.checkout), "index": lab.settings.index}
    (lab.run / "claim.json").write_text(json.dumps(record) + "\n")
