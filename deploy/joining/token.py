"""``kube-token``: make a bootstrap token, and print the command with which a machine joins."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from apimachinery import errors
from component_base.flags import Options, group, option, parse
from component_base.values import AGE, FILE, URL, Duration
from deploy.joining.cluster import join_command, new_token, prepare
from kube_client import Client, load_config
from kube_client.config import check_kubeconfig

_NAME: Final = "kube-token"
_ABOUT: Final = (
    "Makes a bootstrap token and prints the command with which a machine joins the cluster. Creates what the cluster "
    "needs for that, if it is missing. Delete the secret bootstrap-token-... in kube-system to withdraw a token."
)


@dataclass(frozen=True, kw_only=True)
class Token:
    kubeconfig: Path = option(help="How to reach the apiserver, as an administrator.", type=FILE)
    server: str | None = option(
        None, "URL at which nodes reach the apiserver; that in --kubeconfig by default.", type=URL
    )
    ttl: Duration = option("24h", "How long the token is valid; 0 means until it is deleted.", type=AGE)
    description: str = option("", "What the token is for.")


@dataclass(frozen=True, kw_only=True)
class TokenOptions(Options):
    token: Token = group("Token", Token)

    def __post_init__(self) -> None:
        check_kubeconfig(self.token.kubeconfig)
        if load_config(self.token.kubeconfig).ca is None:
            raise ValueError("--kubeconfig: it must name the cluster's certificate authority")


async def create(options: TokenOptions) -> str:
    """The command to join. Raises ``errors.ApiError``."""
    given, config = options.token, load_config(options.token.kubeconfig)
    server, authority = given.server or config.server, config.ca.read() if config.ca is not None else b""
    async with Client(config, user_agent=_NAME) as client:
        await prepare(client, server, authority)
        life = timedelta(seconds=given.ttl) if given.ttl else None
        token = await new_token(client, life, given.description)
    return join_command(server, token, authority)


def main() -> None:
    options = parse(TokenOptions, _NAME, _ABOUT)
    try:
        print(asyncio.run(create(options)))
    except errors.ApiError as fault:
        sys.exit(f"{_NAME}: {fault}")


if __name__ == "__main__":
    main()
