"""The audit log: who asked for what, and what came of it.

auditor.py from a request to its lines
policy.py  which requests are recorded, at which stages, with how much of their bodies
record.py  one request as events of audit.k8s.io/v1
log.py     the file, and its rotation
"""

from apiserver.audit.auditor import Auditor
from apiserver.audit.log import AuditLog, LogFile, StandardOutput
from apiserver.audit.policy import NOTHING, Policy, Recording, read_policy
from apiserver.audit.record import Record, Sender

__all__ = [
    "NOTHING",
    "AuditLog",
    "Auditor",
    "LogFile",
    "Policy",
    "Record",
    "Recording",
    "Sender",
    "StandardOutput",
    "read_policy",
]
