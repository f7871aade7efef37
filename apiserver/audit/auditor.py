"""From a request to its lines in the audit log."""

from collections.abc import Callable

from apiserver.audit.log import AuditLog
from apiserver.audit.policy import Policy
from apiserver.audit.record import Record, Sender
from apiserver.request import Attributes


class Auditor:
    def __init__(self, policy: Policy, log: AuditLog) -> None:
        self._policy, self._log = policy, log

    def begin(self, attributes: Attributes, sender: Callable[[], Sender]) -> Record | None:
        """A request has come; None if the policy does not record it.

        Args:
            attributes: with the user whose credentials the request has, whoever is impersonated.
        """
        recording = self._policy.recording(attributes)
        if recording.level == "None":
            return None
        record = Record(recording, attributes, sender(), self._log.add)
        record.emit("RequestReceived")
        return record

    async def run(self) -> None:
        """Write until cancelled."""
        await self._log.run()
