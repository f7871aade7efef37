"""The flags about the audit log, under Kubernetes' names."""

from dataclasses import dataclass
from pathlib import Path

from apiserver.audit import AuditLog, Auditor, LogFile, StandardOutput, read_policy
from component_base.flags import option
from component_base.values import FILE, number


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Which requests are recorded, and where."""

    audit_policy_file: Path | None = option(
        None, "Policy that says which requests are recorded; without it none.", type=FILE
    )
    audit_log_path: Path | None = option(None, "File for the records, JSON a line; '-' for standard output.")
    audit_log_maxsize: int = option(100, "Megabytes after which the file is rotated; 0 for never.", type=number(0))
    audit_log_maxbackup: int = option(10, "Rotated files that are kept; 0 for all.", type=number(0))
    audit_log_maxage: int = option(0, "Days that rotated files are kept; 0 for ever.", type=number(0))

    def auditor(self) -> Auditor | None:
        """What records requests; None without a policy and a file. Raises ValueError if the flags cannot be followed."""
        if self.audit_policy_file is None and self.audit_log_path is None:
            return None
        if self.audit_policy_file is None:
            raise ValueError("--audit-policy-file is required with --audit-log-path")
        if self.audit_log_path is None:
            raise ValueError("--audit-log-path is required with --audit-policy-file")
        try:
            policy = read_policy(self.audit_policy_file)
        except ValueError as exc:
            raise ValueError(f"--audit-policy-file: {exc}") from None
        return Auditor(policy, AuditLog(self._file(self.audit_log_path)))

    def _file(self, path: Path) -> LogFile | StandardOutput:
        if str(path) == "-":
            return StandardOutput()
        if not path.parent.is_dir():
            raise ValueError(f"--audit-log-path: {path.parent} is not a folder")
        return LogFile(
            path,
            max_size=self.audit_log_maxsize,
            max_backups=self.audit_log_maxbackup,
            max_age=self.audit_log_maxage,
        )
