"""Calls to etcd. A read is repeated, on another endpoint if there is one, until its deadline; a write is
sent once, over a connection that stands, and is never repeated: when no answer comes, ``OutcomeUnknown``
says so. All reads are linearizable.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import grpc.aio
from aetcd.rpc import rpc_pb2

from apiserver.storage import metrics
from apiserver.storage.etcd import requests, watch
from apiserver.storage.etcd.channel import Endpoint, Endpoints, EtcdConfig
from apiserver.storage.etcd.errors import Compacted, FutureRevision, OutcomeUnknown, Unavailable, translate
from apiserver.storage.etcd.failures import FailureLog
from apiserver.storage.etcd.requests import Condition, KeyValue, Operation, Outcome, Range

PAGE = 500  # keys; a list of any length is read in pieces that neither side has to hold whole
_RETRY = 0.1  # s between two attempts of a read
_DEFRAGMENT = 600.0  # s; a gigabyte takes some ten


class Status(NamedTuple):
    """One member's view of itself."""

    version: str
    db_size: int  # bytes, which count against the quota
    db_size_in_use: int  # bytes of them that a defragmentation would leave
    leader: int  # its member id, 0 if there is none
    errors: list[str]  # alarms that are on, such as NOSPACE


class Etcd:
    """A client of one etcd cluster. To be made, used and closed in one event loop."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._endpoints = Endpoints(config)
        self._failures = FailureLog()

    async def close(self) -> None:
        await self._endpoints.close()

    async def get(self, key: str) -> KeyValue | None:
        page = await self.range(key)
        return page.items[0] if page.items else None

    async def range(
        self,
        key: str,
        end: str | None = None,
        *,
        revision: int = 0,
        limit: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> Range:
        """The keys from ``key`` to before ``end`` (or just ``key``), in order, now or at ``revision``.

        Raises:
            Compacted, FutureRevision: of ``revision``.
            Unavailable: no etcd answered before the deadline.
        """
        request = rpc_pb2.RangeRequest(
            key=requests.raw(key),
            range_end=requests.raw(end) if end else b"",
            revision=revision,
            limit=limit,
            keys_only=keys_only,
            count_only=count_only,
        )
        response = await self._read("get" if end is None else "list", lambda on: on.kv.Range, request)
        items = requests.key_values(response.kvs)
        return Range(items, response.more, response.count, response.header.revision)

    async def pages(self, prefix: str, *, revision: int = 0, start: str | None = None) -> AsyncIterator[Range]:
        """All keys under a prefix (from ``start``), a page at a time, all as of one revision."""
        key, end = start or prefix, requests.prefix_end(prefix)
        while True:
            page = await self.range(key, end, revision=revision, limit=PAGE)
            yield page
            if not page.more:
                return
            revision = revision or page.revision
            key = page.items[-1].key + "\0"

    async def revision(self) -> int:
        """The revision of the last change that was acknowledged to anyone before this call."""
        # A range over one key that does not exist is the cheapest linearizable read.
        return (await self.range("\0", count_only=True)).revision

    async def transact(
        self,
        conditions: Sequence[Condition],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        operation: str = "txn",
    ) -> Outcome:
        """One atomic step. ``operation`` is its name in the metrics.

        Raises:
            Unavailable: nothing was sent.
            OutcomeUnknown: it was sent, and whether it took effect is unknown.
            TooLarge, TooManyOperations, NoSpace, LeaseNotFound: etcd refused, nothing was changed.
        """
        request = requests.transaction(conditions, then, otherwise)
        return requests.outcome_of(await self._write(operation, lambda on: on.kv.Txn, request))

    async def compact(self, revision: int, *, physical: bool = False) -> None:
        """Forget what came before ``revision``; with ``physical`` its space is free when this returns.

        Raises:
            Compacted: that was done already.
        """
        request = rpc_pb2.CompactionRequest(revision=revision, physical=physical)
        await self._read("compact", lambda on: on.kv.Compact, request)  # harmless to repeat

    async def grant_lease(self, ttl: int) -> int:
        """The id of a new lease of ``ttl`` seconds."""
        # Repeating costs at most a lease that nothing hangs on, and that ends by itself.
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl)
        response = await self._read("leaseGrant", lambda on: on.lease.LeaseGrant, request)
        return int(response.ID)

    async def status(self, member: Endpoint | None = None) -> Status:
        """How a member sees itself: the one in use, or one of ``members``."""
        request = rpc_pb2.StatusRequest()
        if member is None:
            answer = await self._read("status", lambda on: on.maintenance.Status, request)
        else:
            answer = await self._ask(member, "status", member.maintenance.Status, request, self._config.request_timeout)
        return Status(answer.version, answer.dbSize, answer.dbSizeInUse, answer.leader, list(answer.errors))

    @property
    def members(self) -> list[Endpoint]:
        """All that are configured: what concerns a member's own files must be asked of each."""
        return self._endpoints.members

    async def defragment(self, member: Endpoint) -> None:
        """Give the free space in a member's database back to its file system. It answers nobody else meanwhile."""
        request = rpc_pb2.DefragmentRequest()
        await self._ask(member, "defragment", member.maintenance.Defragment, request, _DEFRAGMENT)

    async def out_of_space(self) -> list[int]:
        """The members that have raised the alarm, until which is disarmed nothing can be written: their ids."""
        answer = await self._alarm(rpc_pb2.AlarmRequest.GET, 0)
        return [alarm.memberID for alarm in answer.alarms if alarm.alarm == rpc_pb2.NOSPACE]

    async def disarm(self, member_id: int) -> None:
        """Switch that alarm off for a member; it comes back if there still is no space."""
        await self._alarm(rpc_pb2.AlarmRequest.DEACTIVATE, member_id)

    async def _alarm(self, action: int, member_id: int) -> Any:
        request = rpc_pb2.AlarmRequest(action=action, memberID=member_id, alarm=rpc_pb2.NOSPACE)
        return await self._read("alarm", lambda on: on.maintenance.Alarm, request)  # harmless to repeat

    async def _ask(self, member: Endpoint, operation: str, method: Any, request: Any, timeout: float) -> Any:
        """One call of one member and no other."""
        try:
            return await method(request, timeout=timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError as exc:
            metrics.etcd_request_errors.labels(operation).inc()
            raise translate(exc.code(), exc.details() or "", writes=False) from exc

    async def watch(self, start: int) -> AsyncGenerator[watch.Revision, None]:
        """Every revision from ``start`` on, in order and whole. See ``watch.revisions``."""
        endpoint = await self._endpoints.connected(self._deadline())
        stream = watch.revisions(endpoint.watch, start, self._config.request_timeout)
        try:
            async with aclosing(stream):
                async for revision in stream:
                    yield revision
        except Unavailable:
            self._endpoints.avoid(endpoint)
            raise

    async def _read(self, operation: str, method: Callable[[Endpoint], Any], request: Any) -> Any:
        deadline = self._deadline()
        while True:
            endpoint = await self._endpoints.connected(deadline)
            try:
                return await self._call(endpoint, operation, method, request, deadline, writes=False)
            except Unavailable:
                if asyncio.get_running_loop().time() + _RETRY >= deadline:
                    raise
            await asyncio.sleep(_RETRY)

    async def _write(self, operation: str, method: Callable[[Endpoint], Any], request: Any) -> Any:
        deadline = self._deadline()
        endpoint = await self._endpoints.connected(deadline)
        return await self._call(endpoint, operation, method, request, deadline, writes=True)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._config.request_timeout

    async def _call(
        self,
        endpoint: Endpoint,
        operation: str,
        method: Callable[[Endpoint], Any],
        request: Any,
        deadline: float,
        *,
        writes: bool,
    ) -> Any:
        started = asyncio.get_running_loop().time()
        try:
            return await method(endpoint)(request, timeout=max(deadline - started, 0.0))
        except grpc.aio.AioRpcError as exc:
            error = translate(exc.code(), exc.details() or "", writes=writes)
            if isinstance(error, (Unavailable, OutcomeUnknown)):
                self._endpoints.avoid(endpoint)
            if not isinstance(error, (Compacted, FutureRevision)):  # which are answers
                self._failures.failed(operation, exc.code().name, exc.details() or "")
            metrics.etcd_request_errors.labels(operation).inc()
            raise error from exc
        finally:
            elapsed = asyncio.get_running_loop().time() - started
            metrics.etcd_request_duration.labels(operation).observe(elapsed)
