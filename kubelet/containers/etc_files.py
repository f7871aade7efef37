"""resolv.conf, hosts and hostname of a pod: their content (pure), and writing them to the pod's directory.

The kubelet mounts its own files because the engine would insert its own resolver, and because it refuses DNS and host
name settings for a container that joins another's network.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery import meta, names
from apimachinery.types import core_v1
from kubelet import untrusted_files

HOSTS = Path("/etc/hosts")

MAX_SEARCHES, MAX_NAMESERVERS = 32, 3
MAX_HOSTNAME, MAX_KERNEL_HOSTNAME = 63, 64

_HOSTS_HEAD = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


class BadHostname(ValueError):
    """A host name that the kernel does not accept; the message is for people."""


@dataclass(frozen=True)
class Resolver:
    """The lines of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [f"nameserver {address}" for address in self.nameservers[:MAX_NAMESERVERS]]
        if self.searches:
            lines.append(f"search {' '.join(self.searches[:MAX_SEARCHES])}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def parse_resolver(text: str) -> Resolver:
    """Of the node's resolv.conf."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                nameservers.append(address)
            case ["search" | "domain", *names]:
                searches = tuple(names)
            case ["options", *more]:
                options += more
    return Resolver(tuple(nameservers), searches, tuple(options))


def resolver_for(pod: core_v1.Pod, node: Resolver, cluster_dns: Sequence[str], domain: str) -> Resolver:
    """A pod's resolver by its dnsPolicy and dnsConfig."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    use_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
    if policy == "None":
        base = Resolver()
    elif use_cluster and cluster_dns:
        namespace = meta.namespace_of(pod)
        own = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
        base = Resolver(tuple(cluster_dns), _unique((*own, *node.searches)), ("ndots:5",))
    else:
        base = node
    config = pod.spec.dns_config
    if config is None:
        return base
    options = {option.name: option.value for option in config.options or () if option.name}
    inherited = tuple(option for option in base.options if option.partition(":")[0] not in options)
    own_options = tuple(f"{name}:{value}" if value else str(name) for name, value in options.items())
    return Resolver(
        _unique((*base.nameservers, *(config.nameservers or ()))),
        _unique((*base.searches, *(config.searches or ()))),
        (*inherited, *own_options),
    )


def hostname_of(pod: core_v1.Pod, node_hostname: str) -> str:
    """The pod's host name: its own, by default the pod's name cut to 63 characters.

    Raises:
        BadHostname: ``hostnameOverride`` is none.
    """
    if pod.spec.host_network:
        return node_hostname
    override = pod.spec.hostname_override
    if override is not None:
        if len(override) > MAX_KERNEL_HOSTNAME or names.dns_subdomain(override) is not None:
            limit = f"a DNS subdomain of at most {MAX_KERNEL_HOSTNAME} characters"
            raise BadHostname(f"hostnameOverride {override[:MAX_KERNEL_HOSTNAME]!r} is not {limit}")
        return override
    return pod.spec.hostname or meta.name_of(pod)[:MAX_HOSTNAME].rstrip("-.")


def kernel_hostname(pod: core_v1.Pod, hostname: str, domain: str) -> str:
    """The output of ``hostname`` in the pod: its host name, or its full name with ``setHostnameAsFQDN``.

    Raises:
        BadHostname: it is too long for the kernel.
    """
    if not (pod.spec.set_hostname_as_fqdn and _subdomain(pod)) or pod.spec.host_network:
        return hostname
    name = _full_name(pod, hostname, domain)
    if len(name) > MAX_KERNEL_HOSTNAME:
        limit = f"{MAX_KERNEL_HOSTNAME} characters is the max, {len(name)} characters requested"
        raise BadHostname(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long ({limit})"
        )
    return name


def _subdomain(pod: core_v1.Pod) -> str:
    """A host name that overrides all others is in none."""
    return "" if pod.spec.hostname_override is not None else pod.spec.subdomain or ""


def _full_name(pod: core_v1.Pod, hostname: str, domain: str) -> str:
    return f"{hostname}.{pod.spec.subdomain}.{meta.namespace_of(pod)}.svc.{domain}"


def hosts_for(pod: core_v1.Pod, hostname: str, address: str, domain: str, node_hosts: str) -> str:
    """The pod's /etc/hosts."""
    if pod.spec.host_network:
        text = "# Kubernetes-managed hosts file (host network).\n" + node_hosts
    else:
        names = [hostname]
        if _subdomain(pod):
            names.insert(0, _full_name(pod, hostname, domain))
        text = _HOSTS_HEAD + "\t".join([address, *names]) + "\n"
    if pod.spec.host_aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t{chr(9).join(alias.hostnames or ())}\n" for alias in pod.spec.host_aliases)
    return text


def read(path: Path) -> str:
    """One of the node's own files; empty if it does not exist. ``write`` gives back bytes that are no text as they were."""
    return os.fsdecode(path.read_bytes()) if path.exists() else ""


def write(path: Path, text: str) -> Path:
    """Make this the content of a pod's file, whatever its containers have written there. Blocks. Raises OSError."""
    untrusted_files.write_in_place(path, os.fsencode(text))
    return path


def _unique(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
