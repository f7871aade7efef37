"""Jobs: pods that are to end, so many times."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec, meta, names
from apimachinery.core.well_known import JOB_CONTROLLER_UID_LABEL, JOB_NAME_LABEL
from apimachinery.fields import FieldError, Path
from apimachinery.types.batch_v1 import Job, JobSpec, JobStatus, PodFailurePolicyRule
from apimachinery.types.core_v1 import PodTemplateSpec
from apimachinery.types.meta_v1 import LabelSelector
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC, TEMPLATE

BACKOFF_LIMIT: Final = 6
_OLD_UID_LABEL: Final = "controller-uid"
_OLD_NAME_LABEL: Final = "job-name"
_MODES: Final = ("Indexed", "NonIndexed")
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")


class JobKind(Strategy[Job]):
    counts_generations = True

    def default(self, obj: Job) -> None:
        spec = obj.spec
        if spec.completions is None and spec.parallelism is None:
            spec.completions = 1
        if spec.parallelism is None:
            spec.parallelism = 1
        if spec.backoff_limit is None:
            spec.backoff_limit = BACKOFF_LIMIT if spec.backoff_limit_per_index is None else 2**31 - 1
        if spec.template.metadata.labels and not obj.metadata.labels:
            obj.metadata.labels = dict(spec.template.metadata.labels)
        spec.completion_mode = spec.completion_mode or "NonIndexed"
        spec.suspend = bool(spec.suspend)
        spec.manual_selector = bool(spec.manual_selector)
        spec.pod_replacement_policy = spec.pod_replacement_policy or (
            "Failed" if spec.pod_failure_policy else "TerminatingOrFailed"
        )
        default_template(spec)

    def prepare_for_create(self, obj: Job) -> None:
        obj.status = JobStatus()
        if not obj.spec.manual_selector:
            _generate_selector(obj)

    def prepare_for_update(self, obj: Job, old: Job) -> None:
        obj.status = old.status
        if not obj.spec.manual_selector and obj.spec.selector is None:  # a client that replaces a job need not know it
            obj.spec.selector = old.spec.selector
            labels = obj.spec.template.metadata.labels or {}
            generated = {
                key: value
                for key, value in (old.spec.template.metadata.labels or {}).items()
                if key in (JOB_CONTROLLER_UID_LABEL, JOB_NAME_LABEL, _OLD_UID_LABEL, _OLD_NAME_LABEL)
            }
            obj.spec.template.metadata.labels = {**labels, **generated} or None

    def warnings(self, obj: Job) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, TEMPLATE, obj.spec.template)

    def validate(self, obj: Job) -> Iterator[FieldError]:
        spec = obj.spec
        yield from validate_spec(SPEC, spec)
        if spec.selector is None:
            yield (SPEC / "selector").required()
        else:
            yield from field_rules.validate_selector(SPEC / "selector", spec.selector)
            if not field_rules.selects(spec.selector, spec.template.metadata.labels):
                yield (SPEC / "template" / "metadata" / "labels").invalid(
                    spec.template.metadata.labels or {}, "`selector` does not match template `labels`"
                )
        if spec.completion_mode == "Indexed" and spec.completions:
            host = f"{obj.metadata.name}-{spec.completions - 1}"
            if names.dns_label(host) is not None:
                yield Path("metadata", "name").invalid(
                    obj.metadata.name, f"will not able to create pod with invalid DNS label: {host}"
                )

    def validate_update(self, obj: Job, old: Job) -> Iterator[FieldError]:
        new, before = obj.spec, old.spec
        if new.completions != before.completions and (
            before.completion_mode != "Indexed" or new.completions != new.parallelism
        ):
            yield from field_rules.immutable(SPEC, new, before, "completions")
        yield from field_rules.immutable(SPEC, new, before, "selector")
        if _fixed(new.template, old) != before.template:
            yield (SPEC / "template").invalid(codec.to_builtins(new.template), "field is immutable")
        yield from field_rules.immutable(
            SPEC, new, before, "completion_mode", "pod_failure_policy", "backoff_limit_per_index", "managed_by",
            "success_policy",
        )  # fmt: skip


def _generate_selector(job: Job) -> None:
    """A selector that no other job's pods match: by this job's uid."""
    template, uid, name = job.spec.template.metadata, job.metadata.uid or "", job.metadata.name or ""
    labels = dict(template.labels or {})
    for key, value in (
        (_OLD_NAME_LABEL, name),
        (JOB_NAME_LABEL, name),
        (_OLD_UID_LABEL, uid),
        (JOB_CONTROLLER_UID_LABEL, uid),
    ):
        labels.setdefault(key, value)
    template.labels = labels
    selector = job.spec.selector or LabelSelector()
    selector.match_labels = {**(selector.match_labels or {}), JOB_CONTROLLER_UID_LABEL: uid}
    job.spec.selector = selector


def _fixed(new: PodTemplateSpec, old: Job) -> PodTemplateSpec:
    """The template without what may still change: node selection, until the first pod has started."""
    template, before = codec.copy(new), old.spec.template
    if old.spec.suspend and old.status.start_time is None:
        for field in ("affinity", "node_selector", "tolerations", "scheduling_gates"):
            setattr(template.spec, field, getattr(before.spec, field))
        template.metadata = before.metadata
    return template


def default_template(spec: JobSpec) -> None:
    """What a job's and a cron job's template share."""
    default_spec(spec.template.spec)
    for rule in spec.pod_failure_policy.rules if spec.pod_failure_policy else ():
        for pattern in rule.on_pod_conditions or ():
            pattern.status = pattern.status or "True"


def validate_spec(path: Path, spec: JobSpec) -> Iterator[FieldError]:
    """Everything of a job's spec but its selector."""
    for field, number in (
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ):
        yield from not_negative(path / field, number)
    yield from _indexes(path, spec)
    if spec.managed_by is not None:
        yield from names.check(path / "managedBy", spec.managed_by, names.qualified_name)
    allowed = ("Failed",) if spec.pod_failure_policy else ("Failed", "TerminatingOrFailed")
    yield from field_rules.one_of(path / "podReplacementPolicy", spec.pod_replacement_policy, allowed)
    yield from _policies(path, spec)
    yield from workloads.validate_template(path / "template", spec.template)
    policy = spec.template.spec.restart_policy
    if policy not in ("Never", "OnFailure"):
        yield (path / "template" / "spec" / "restartPolicy").required('valid values: "OnFailure", "Never"')


def _indexes(path: Path, spec: JobSpec) -> Iterator[FieldError]:
    yield from field_rules.one_of(path / "completionMode", spec.completion_mode, _MODES)
    indexed = spec.completion_mode == "Indexed"
    if indexed and spec.completions is None:
        yield (path / "completions").required("when completion mode is Indexed")
    if indexed and (spec.parallelism or 0) > 100_000:
        yield (path / "parallelism").invalid(
            spec.parallelism, "must be less than or equal to 100000 when completion mode is Indexed"
        )
    if not indexed and spec.backoff_limit_per_index is not None:
        yield (path / "backoffLimitPerIndex").invalid(spec.backoff_limit_per_index, "requires indexed completion mode")
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None:
        yield (path / "backoffLimitPerIndex").required("when maxFailedIndexes is specified")


def _policies(path: Path, spec: JobSpec) -> Iterator[FieldError]:
    if spec.pod_failure_policy is not None:
        place = path / "podFailurePolicy"
        if spec.template.spec.restart_policy != "Never":
            yield place.invalid(
                codec.to_builtins(spec.pod_failure_policy), 'only "Never" is supported as restartPolicy with it'
            )
        for i, rule in enumerate(spec.pod_failure_policy.rules):
            yield from _failure_rule((place / "rules")[i], rule, spec)
    if spec.success_policy is not None:
        place = path / "successPolicy"
        if spec.completion_mode != "Indexed":
            yield place.invalid(codec.to_builtins(spec.success_policy), "requires indexed completion mode")
        if not spec.success_policy.rules:
            yield (place / "rules").required("at least one rules must be specified when the successPolicy is specified")
        for j, success_rule in enumerate(spec.success_policy.rules):
            if success_rule.succeeded_count is None and success_rule.succeeded_indexes is None:
                yield (place / "rules")[j].required(
                    "at least one of succeededCount or succeededIndexes must be specified"
                )


def _failure_rule(path: Path, rule: PodFailurePolicyRule, spec: JobSpec) -> Iterator[FieldError]:
    yield from field_rules.required(path / "action", rule.action, _ACTIONS)
    if rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
        yield (path / "action").invalid(rule.action, "requires the backoffLimitPerIndex to be set")
    codes = rule.on_exit_codes
    if codes is None and not rule.on_pod_conditions:
        yield path.invalid(codec.to_builtins(rule), "specifying one of OnExitCodes and OnPodConditions is required")
    elif codes is not None and rule.on_pod_conditions:
        yield path.invalid(codec.to_builtins(rule), "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is not None:
        yield from field_rules.required(path / "onExitCodes" / "operator", codes.operator, _LISTS)
        if not codes.values:
            yield (path / "onExitCodes" / "values").invalid(codes.values, "at least one value is required")
        if codes.operator == "In" and 0 in codes.values:
            at = codes.values.index(0)
            yield (path / "onExitCodes" / "values")[at].invalid(0, "must not be 0 for the In operator")


_LISTS: Final = ("In", "NotIn")


def completions(job: Job) -> str:
    done, desired = job.status.succeeded or 0, job.spec.completions
    if desired is not None:
        return f"{done}/{desired}"
    parallelism = job.spec.parallelism or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def status(job: Job) -> str:
    true = {condition.type for condition in job.status.conditions or () if condition.status == "True"}
    for word in ("Complete", "Failed"):
        if word in true:
            return word
    if job.metadata.deletion_timestamp:
        return "Terminating"
    return next((word for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if word in true), "Running")


def _duration(job: Job) -> str:
    if job.status.start_time is None:
        return ""
    if job.status.completion_time is None:
        return columns.since(job.status.start_time)
    try:
        took = meta.parse_time(job.status.completion_time) - meta.parse_time(job.status.start_time)
    except ValueError:  # a day that no month has
        return "<invalid>"
    return columns.duration(took.total_seconds())


_KIND = JobKind()

JOBS = StoredResource(
    Job,
    _KIND,
    singular="job",
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        columns.Column("Status", status),
        columns.Column("Completions", completions),
        columns.Column("Duration", _duration),
        columns.age(),
        workloads.container_columns(workloads.pod_template),
        workloads.selector_column(lambda obj: obj.spec.selector),
    ),
    fields={"status.successful": lambda obj: str(obj.status.succeeded or 0)},
    subresources={"status": workloads.status_subresource(_KIND)},
)
