"""The policy of RBAC, fed from the caches of roles and bindings."""

import asyncio
from typing import Any

from apimachinery import errors
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding
from apiserver.authorization.rbac import Policy
from apiserver.registry.resources import Resources
from apiserver.storage import Follower


class StoredPolicy:
    """Start ``run`` when the caches are fed."""

    def __init__(self, resources: Resources) -> None:
        self._policy = policy = Policy()
        self._followers: tuple[Follower[Any], ...] = (
            Follower(resources.store(Role).cache, policy.roles),
            Follower(resources.store(ClusterRole).cache, policy.cluster_roles),
            Follower(resources.store(RoleBinding).cache, policy.role_bindings),
            Follower(resources.store(ClusterRoleBinding).cache, policy.cluster_role_bindings),
        )

    def loaded(self) -> Policy:
        """Raises ServiceUnavailable while it is not complete."""
        for follower in self._followers:
            if not follower.is_loaded:
                raise errors.ServiceUnavailable("roles and bindings are not loaded yet", retry_after=1)
        return self._policy

    async def current(self) -> Policy:
        """With all that was stored before this call. Raises ApiError if that takes too long."""
        await self._followers[0].wait_current()  # all caches are fed by one stream, revision by revision
        for follower in self._followers:
            await follower.wait_loaded()
        return self.loaded()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for follower in self._followers:
                tasks.create_task(follower.run(), name="rbac")
