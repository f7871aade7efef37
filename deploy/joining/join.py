"""``kube-join``: check that a server is the cluster's, and write the files with which this machine's kubelet joins."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apimachinery import errors
from apimachinery.core.bootstrap_tokens import Token
from apimachinery.core.cluster_info import Untrusted, is_public_key_hash
from component_base import files
from component_base.flags import Options, group, option, parse
from component_base.values import URL, ValueType, list_of
from kube_client.discovery import bootstrap_kubeconfig, discover

_NAME: Final = "kube-join"
_ABOUT: Final = (
    "Checks with a bootstrap token, and with the hash of the cluster's authority, that a server is the cluster's, and "
    "writes the files that the kubelet needs to join: start it with --bootstrap-kubeconfig, --client-ca-file, "
    "--rotate-certificates and --rotate-server-certificates."
)


def _token(text: str) -> Token:
    if (token := Token.parse(text)) is None:
        raise ValueError("must be of the form abcdef.0123456789abcdef")
    return token


def _hash(text: str) -> str:
    if not is_public_key_hash(text):
        raise ValueError("must be sha256: and 64 hexadecimal digits in lower case")
    return text


_HASHES: Final = list_of(ValueType(_hash, str, "HASH"))


@dataclass(frozen=True, kw_only=True)
class Join:
    server: str = option(help="URL of the apiserver.", type=URL)
    token: Token = option(help="Bootstrap token.", type=ValueType(_token, str, "TOKEN"))
    discovery_token_ca_cert_hash: tuple[str, ...] = option(
        (), "Hash of the public key of the cluster's authority; of several one must match.", type=_HASHES
    )
    discovery_token_unsafe_skip_ca_verification: bool = option(
        False, "Join without such a hash: who has learned the token can then pass for the cluster."
    )
    bootstrap_kubeconfig: Path = option("/etc/kubernetes/bootstrap-kubelet.conf", "Where to write it.")
    client_ca_file: Path = option("/etc/kubernetes/pki/ca.crt", "Where to write the cluster's authority.")


@dataclass(frozen=True, kw_only=True)
class JoinOptions(Options):
    join: Join = group("Joining", Join)

    def __post_init__(self) -> None:
        join = self.join
        if bool(join.discovery_token_ca_cert_hash) == join.discovery_token_unsafe_skip_ca_verification:
            raise ValueError(
                "either --discovery-token-ca-cert-hash or --discovery-token-unsafe-skip-ca-verification must be given"
            )


async def join(given: Join) -> None:
    """Write both files. Raises ``Untrusted``, ``errors.ApiError``, or OSError if a file cannot be written."""
    config = await discover(given.server, given.token, given.discovery_token_ca_cert_hash)
    authority = config.ca.read() if config.ca is not None else b""
    kubeconfig = bootstrap_kubeconfig(config, given.token).encode()
    for path, data, mode in ((given.client_ca_file, authority, 0o644), (given.bootstrap_kubeconfig, kubeconfig, 0o600)):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, data, mode)


def main() -> None:
    given = parse(JoinOptions, _NAME, _ABOUT).join
    try:
        asyncio.run(join(given))
    except (errors.ApiError, Untrusted, OSError) as fault:
        sys.exit(f"{_NAME}: {fault}")
    print(f"wrote {given.bootstrap_kubeconfig} and {given.client_ca_file}")


if __name__ == "__main__":
    main()
