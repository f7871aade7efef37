"""The flags about authorization, under Kubernetes' names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apiserver.authorization.webhook import Webhook
from component_base.flags import option
from component_base.values import AGE, FILE, Duration, at_least_one, one_of
from kube_client.config import ConfigError, load_config

MODES: Final = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_FILE: Final = "--authorization-webhook-config-file"


@dataclass(frozen=True, kw_only=True)
class AuthorizationOptions:
    """What decides who may do what."""

    authorization_mode: tuple[str, ...] = option(
        ("AlwaysAllow",),
        f"What is asked whether a request is allowed, in this order: {', '.join(MODES)}. The first that has an opinion "
        "decides. The group system:masters is always allowed everything.",
        type=at_least_one(one_of(*MODES)),
    )
    authorization_webhook_config_file: Path | None = option(
        None, "Kubeconfig with the URL that the mode Webhook posts its access reviews to.", type=FILE
    )
    authorization_webhook_cache_authorized_ttl: Duration = option(
        "5m", "How long answers of the webhook count that allow.", type=AGE
    )
    authorization_webhook_cache_unauthorized_ttl: Duration = option(
        "30s", "How long its other answers count.", type=AGE
    )
    authorization_webhook_version: str = option("v1", "Version of the access reviews.", choices=("v1",))

    def check(self) -> None:
        """Raises ValueError if the flags do not fit together."""
        for mode in self.authorization_mode:
            if self.authorization_mode.count(mode) > 1:
                raise ValueError(f"--authorization-mode names {mode} more than once")
        if "Webhook" in self.authorization_mode:
            self.webhook()
        elif self.authorization_webhook_config_file is not None:
            raise ValueError(f"{_FILE} is of use only with --authorization-mode=Webhook")

    def webhook(self) -> Webhook:
        """Raises ValueError if its server is not named, or cannot be reached as it is written."""
        if self.authorization_webhook_config_file is None:
            raise ValueError(f"{_FILE} is required with --authorization-mode=Webhook")
        try:
            config = load_config(self.authorization_webhook_config_file)
            config.ssl_context()
        except ConfigError as exc:
            raise ValueError(f"{_FILE}: {' '.join(str(exc).split())}") from None
        return Webhook(
            config,
            self.authorization_webhook_cache_authorized_ttl,
            self.authorization_webhook_cache_unauthorized_ttl,
        )
