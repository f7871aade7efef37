"""The set-up installs every program that our code starts, and the lock covers pyproject.toml."""

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.lab import bootstrap, checks, packages

CHECKOUT = Path(__file__).resolve().parents[3]
TREES = (
    "apimachinery", "apiserver", "benchmarks", "component_base", "controller_manager", "deploy", "host_network",
    "kube_client", "kube_dns", "kube_proxy", "kubelet", "scheduler", "tests",
)  # fmt: skip
STARTERS = frozenset(
    ("run", "Popen", "check_output", "check_call", "create_subprocess_exec", "attempt", "program", "_run", "in_node",
     "which", "child", "talking_child", "_python", "_apt", "in_namespace")
)  # fmt: skip
"""Functions whose first argument, or the first element of it, is a program."""

IN_EVERY_DEBIAN = frozenset(
    ("apt-get", "apt-cache", "bash", "cp", "env", "rm", "sh", "sleep", "systemctl", "true", "umount", "tar", "cat", "sed",
     "mount", "chmod", "ls", "dd", "false", "timeout", "echo", "touch", "id", "hostname", "kill", "ln", "test", "sync",
     "tail", "diff", "prlimit", "mkdir", "yes", "python3", "make", "dpkg")
)  # fmt: skip
"""Programs of essential packages, or ones that the code looks for first (``systemctl``)."""

IN_CONTAINERS = frozenset(("wget", "nc", "httpd", "nslookup", "ps", "top", "vi", "stty", "busybox", "pause", "serve"))
"""Applets of the images that are built here."""

WORDS = frozenset(("patch", "watch", "service", "init", "who", "link", "nodejs", "file", "groups", "view"))
"""First elements of lists that have a program's name but are not programs."""

PROGRAM = re.compile(r"(?:/usr/s?bin/)?([a-z][a-z0-9_.+-]*)\Z")


@cache
def commands() -> dict[str, str]:
    """Each program that the code names, as first element of a list or argument of a function that starts it, and where."""
    places: dict[str, str] = {}
    for tree in TREES:
        for path in (CHECKOUT / tree).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for expression in candidates(node):
                    text = expression.value if isinstance(expression, ast.Constant) else None
                    if isinstance(text, str) and (match := PROGRAM.match(text)):
                        places[match[1]] = f"{path.relative_to(CHECKOUT)}:{expression.lineno}"
    return places


def candidates(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]):
            yield first
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]) if name in STARTERS:
            yield first


def brought() -> set[str]:
    return {*packages.LAB, *packages.TOUR, *packages.TESTS, *packages.BENCHMARKS}


def is_program_here(name: str) -> bool:
    """Whether a word of the code is a program of this machine; most first elements of lists are something else."""
    return shutil.which(name, path=packages.PATH) is not None


def test_every_program_that_is_started_is_one_that_the_set_up_installs() -> None:
    known = brought() | IN_EVERY_DEBIAN | IN_CONTAINERS | WORDS
    assert {name: place for name, place in commands().items() if name not in known and is_program_here(name)} == {}


def test_what_starts_programs_is_recognized() -> None:
    """A check of the test above: it finds programs that are known to be started."""
    assert {"tcpdump", "curl", "conntrack", "etcd", "ip", "nsenter", "docker-registry", "npm", "git"} <= set(commands())


@pytest.mark.parametrize(
    ("available", "chosen"),
    [(("docker.io", "docker-cli"), "docker-cli"), (("docker.io",), "docker.io"), ((), "docker.io")],
)
def test_the_docker_client_comes_from_the_package_that_the_release_has(available: tuple[str, ...], chosen: str) -> None:
    assert packages.first_available(packages.LAB["docker"], available) == chosen


@pytest.mark.parametrize(
    ("program", "output", "version"),
    [
        ("etcd", "etcd Version: 3.4.23\nGit SHA: x", ""),
        ("etcd", "etcd Version: 3.6.1\n", "3.6.1"),
        ("Docker", "Docker version 20.10.24+dfsg1, build 297e128", ""),
        ("Docker", "Docker version 26.1.5+dfsg1, build a72d7cd", ""),
        ("Docker", "Docker version 28.2.2, build e6534b4", "28.2.2"),
        ("iptables", "iptables v1.8.11 (nf_tables)", ""),
        ("iptables", "", "an unknown version"),
    ],
)
def test_versions_that_the_tests_do_not_cover_are_named(program: str, output: str, version: str) -> None:
    assert packages.KNOWN[program].differs(output) == version


def test_this_machine_has_what_the_checks_ask_for() -> None:
    checks.check_programs()
    assert isinstance(checks.unknown_versions(), list)


def locked(name: str) -> dict[str, str]:
    """Package to version; the last one where the version depends on the Python."""
    text = (CHECKOUT / "requirements" / name).read_text()
    return {match[1].lower().replace("_", "-"): match[2] for match in re.finditer(r"^([\w.-]+)==([^ \\]+)", text, re.M)}


@pytest.mark.parametrize(("extra", "lock"), [("", "runtime.txt"), ("", "development.txt"), ("dev", "development.txt")])
def test_the_lock_has_every_direct_dependency_in_its_range(extra: str, lock: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    texts = project["optional-dependencies"][extra] if extra else project["dependencies"]
    versions = locked(lock)
    for requirement in map(Requirement, texts):
        version = versions.get(requirement.name.lower().replace("_", "-"))
        assert version is not None, f"{requirement.name} is not locked: make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} is locked at {version}"


def test_every_locked_package_has_hashes() -> None:
    for name in ("build.txt", "runtime.txt", "development.txt"):
        for block in re.split(r"^(?=[\w.-]+==)", (CHECKOUT / "requirements" / name).read_text(), flags=re.M)[1:]:
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_pythons_that_are_promised_are_those_that_are_tested() -> None:
    oldest, newest = (".".join(map(str, numbers)) for numbers in bootstrap.PYTHONS)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    beyond = f"{newest.split('.')[0]}.{int(newest.split('.')[1]) + 1}"
    assert project["requires-python"] == f">={oldest},<{beyond}"
    assert f"Python {oldest} to {newest}" in (CHECKOUT / "README.md").read_text()
