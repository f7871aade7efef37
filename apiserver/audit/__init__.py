"""The audit log: who asked for what, and what came of it.

policy.py  which requests are recorded, at which stages, with how much of their bodies
record.py  one request as events of audit.k8s.io/v1
log.py     the file, and its rotation
"""

from apiserver.audit.log import AuditLog, LogFile, StandardOutput
from apiserver.audit.policy import NOTHING, Policy, Recording, read_policy
from apiserver.audit.record import Record, Sender

__all__ = [
    "NOTHING",
    "AuditLog",
    "LogFile",
    "Policy",
    "Record",
    "Recording",
    "Sender",
    "StandardOutput",
    "read_policy",
]
