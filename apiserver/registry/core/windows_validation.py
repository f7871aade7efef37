"""``windowsOptions`` of security contexts: of a pod, and of its containers.

Rules and wording are those of Kubernetes' validateWindowsSecurityContextOptions and validateWindowsHostProcessPod.
"""

import re
from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1

_LONGEST_SPEC: Final = 64 * 1024  # bytes
_LONGEST_DOMAIN: Final = 256
_LONGEST_USER: Final = 104
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS: Final = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}\Z')
_DNS_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS: Final = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_NOT_IN_USERS: Final = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_ONLY_DOTS: Final = re.compile(r"[. ]+\Z")


def validate_windows_options(path: Path, options: v1.WindowsSecurityContextOptions) -> Iterator[FieldError]:
    if (name := options.gmsa_credential_spec_name) is not None:
        yield from names.check(path / "gmsaCredentialSpecName", name, names.dns_subdomain)
    if (spec := options.gmsa_credential_spec) is not None:
        place = path / "gmsaCredentialSpec"
        if not spec:
            yield place.invalid(spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec.encode()) > _LONGEST_SPEC:
            yield place.invalid(spec, "gmsaCredentialSpec size must be under 64 KiB")
    if (user := options.run_as_user_name) is not None:
        for why in _user_faults(user):
            yield (path / "runAsUserName").invalid(user, why)


def _user_faults(text: str) -> Iterator[str]:
    domain, backslash, user = text.rpartition("\\")
    if not text:
        yield "runAsUserName cannot be an empty string"
    elif _CONTROL.search(text):
        yield "runAsUserName cannot contain control characters"
    elif "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        if len(domain) >= _LONGEST_DOMAIN:
            yield f"runAsUserName's Domain length must be under {_LONGEST_DOMAIN} characters"
        if backslash and not (_NET_BIOS.match(domain) or _DNS.match(domain)):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "runAsUserName's User cannot be empty"
        elif len(user) > _LONGEST_USER:
            yield f"runAsUserName's User length must not be longer than {_LONGEST_USER} characters"
        if _ONLY_DOTS.match(user):
            yield "runAsUserName's User cannot contain only periods or spaces"
        if _NOT_IN_USERS.search(user):
            yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def validate_host_processes(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """A pod's containers are all processes of its host, or none is."""
    inherited = _wanted(spec.security_context)
    are_host_processes = []
    for field, containers in (("initContainers", spec.init_containers or ()), ("containers", spec.containers)):
        for i, container in enumerate(containers):
            wanted = _wanted(container.security_context)
            if inherited is not None and wanted is not None and inherited != wanted:
                place = (path / field)[i] / "securityContext" / "windowsOptions" / "hostProcess"
                was = str(inherited).lower()
                yield place.invalid(wanted, f"pod hostProcess value must be identical if both are specified, was {was}")
            are_host_processes.append(bool(inherited if wanted is None else wanted))
    if not any(are_host_processes):
        return
    if not all(are_host_processes):
        why = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield path.invalid("", why)
    if not spec.host_network:
        yield (path / "hostNetwork").invalid(
            False, "hostNetwork must be true if pod contains any hostProcess containers"
        )


def _wanted(context: v1.PodSecurityContext | v1.SecurityContext | None) -> bool | None:
    options = context.windows_options if context is not None else None
    return options.host_process if options is not None else None
