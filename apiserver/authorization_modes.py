"""The authorizers that --authorization-mode names, and what keeps them up to date."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from apiserver.authorization import AlwaysAllow, AlwaysDeny, Authorizer, Masters
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.rbac import RBAC
from apiserver.authorization_options import AuthorizationOptions
from apiserver.bootstrap.rbac_users import NODE_RULES
from apiserver.registry.node_graph import NodeGraph
from apiserver.registry.rbac.policy import StoredPolicy
from apiserver.registry.resources import Resources


class AuthorizationModes:
    """To be made when all resources are served. ``run`` has to run for the authorizers to know what is stored."""

    def __init__(self, options: AuthorizationOptions, resources: Resources) -> None:
        self.policy = StoredPolicy(resources)
        """Followed whatever the modes are: who writes roles and bindings may not grant more than they have."""
        self._options, self._resources = options, resources
        self._running: list[Callable[[], Coroutine[Any, Any, None]]] = [self.policy.run]
        self.authorizers = [Masters(), *map(self._authorizer, options.authorization_mode)]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for run in self._running:
                tasks.create_task(run())

    def _authorizer(self, mode: str) -> Authorizer:
        match mode:
            case "AlwaysAllow":
                return AlwaysAllow()
            case "AlwaysDeny":
                return AlwaysDeny()
            case "Node":
                nodes = NodeGraph(self._resources)
                self._running.append(nodes.run)
                return NodeAuthorizer(nodes.graph, nodes, NODE_RULES)
            case "RBAC":
                return RBAC(self.policy)
            case "Webhook":
                webhook = self._options.webhook()
                self._running.append(webhook.run)
                return webhook
        raise AssertionError(f"{mode} is no mode")
