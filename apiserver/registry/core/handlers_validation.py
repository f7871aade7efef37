"""What is done to a container while it runs: probes, and the hooks of its lifecycle."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry.field_rules import not_negative, one_of, port_number, port_reference, required

_SCHEMES: Final = ("HTTP", "HTTPS")
_HEADER: Final = re.compile(r"[-A-Za-z0-9!#$%&'*+.^_`|~]+\Z", re.ASCII)
_HEADER_RULE: Final = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)

_REAL_TIME: Final = (
    "SIGRTMIN", *(f"SIGRTMIN+{i}" for i in range(1, 16)), *(f"SIGRTMAX-{i}" for i in range(14, 0, -1)), "SIGRTMAX",
)  # fmt: skip
SIGNALS: Final = {
    "linux": (
        "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
        "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP",
        "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM",
        "SIGWINCH", "SIGXCPU", "SIGXFSZ", *_REAL_TIME,
    ),
    "windows": ("SIGKILL", "SIGTERM"),
}  # fmt: skip
"""By operating system, what may end a container."""

Handler = v1.ExecAction | v1.HTTPGetAction | v1.TCPSocketAction | v1.GRPCAction | v1.SleepAction


def validate_probes(path: Path, container: v1.Container) -> Iterator[FieldError]:
    for field, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            yield from _probe(path / field, probe, is_readiness=field == "readinessProbe")


def validate_lifecycle(path: Path, lifecycle: v1.Lifecycle | None, spec: v1.PodSpec) -> Iterator[FieldError]:
    """``spec`` is the pod's."""
    if lifecycle is None:
        return
    grace_seconds = spec.termination_grace_period_seconds
    if lifecycle.stop_signal is not None:
        yield from _stop_signal(path / "stopSignal", lifecycle.stop_signal, spec.os.name if spec.os is not None else "")
    for field, hook in (("postStart", lifecycle.post_start), ("preStop", lifecycle.pre_stop)):
        if hook is not None:
            handlers = {
                "exec": hook.exec, "httpGet": hook.http_get, "tcpSocket": hook.tcp_socket, "sleep": hook.sleep,
            }  # fmt: skip
            yield from _handlers(path / field, handlers)
            if hook.sleep is not None and not 0 <= hook.sleep.seconds <= (grace_seconds or 0):
                yield (path / field / "sleep").invalid(
                    hook.sleep.seconds,
                    f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})",
                )


def _stop_signal(path: Path, signal: str, operating_system: str) -> Iterator[FieldError]:
    if not operating_system:
        yield path.forbidden("may not be set for containers with empty `spec.os.name`")
    elif operating_system in SIGNALS:
        yield from one_of(path, signal, SIGNALS[operating_system])


def _probe(path: Path, probe: v1.Probe, *, is_readiness: bool) -> Iterator[FieldError]:
    yield from _handlers(
        path,
        {"exec": probe.exec, "httpGet": probe.http_get, "tcpSocket": probe.tcp_socket, "grpc": probe.grpc},
    )
    for field, number in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        yield from not_negative(path / field, number)
    if not is_readiness and probe.success_threshold not in (None, 1):
        yield (path / "successThreshold").invalid(probe.success_threshold, "must be 1")
    grace = probe.termination_grace_period_seconds
    if grace is not None and is_readiness:
        yield (path / "terminationGracePeriodSeconds").invalid(grace, "must not be set for readinessProbes")
    elif grace is not None and grace <= 0:
        yield (path / "terminationGracePeriodSeconds").invalid(grace, "must be greater than 0")


def _handlers(path: Path, handlers: Mapping[str, Handler | None]) -> Iterator[FieldError]:
    """Exactly one of several ways, and what is wrong with it."""
    configured = {name: handler for name, handler in handlers.items() if handler is not None}
    if not configured:
        yield path.required("must specify a handler type")
    for extra in list(configured)[1:]:
        yield (path / extra).forbidden("may not specify more than 1 handler type")
    for name, handler in configured.items():
        yield from _handler(path / name, handler)


def _handler(path: Path, handler: Handler) -> Iterator[FieldError]:
    match handler:
        case v1.ExecAction(command=command) if not command:
            yield (path / "command").required()
        case v1.HTTPGetAction():
            if not handler.path:
                yield (path / "path").required()
            yield from port_reference(path / "port", handler.port if handler.port is not None else 0)
            yield from required(path / "scheme", handler.scheme, _SCHEMES)
            for header in handler.http_headers or ():
                if not _HEADER.match(header.name):
                    yield (path / "httpHeaders").invalid(header.name, _HEADER_RULE)
        case v1.TCPSocketAction(port=port):
            yield from port_reference(path / "port", port if port is not None else 0)
        case v1.GRPCAction(port=port):
            yield from port_number(path / "port", port)
