"""Cron jobs: jobs that are created on a schedule."""

import zoneinfo
from collections.abc import Iterator
from functools import cache
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.batch_v1 import CronJob, CronJobStatus
from apimachinery.types.core_v1 import PodTemplateSpec
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.batch import schedules
from apiserver.registry.batch.jobs import default_template, validate_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC

_NAME_LIMIT: Final = 52  # a job's name is this and eleven characters more
_POLICIES: Final = ("Allow", "Forbid", "Replace")


class CronJobKind(Strategy[CronJob]):
    counts_generations = True

    def default(self, obj: CronJob) -> None:
        spec = obj.spec
        spec.concurrency_policy = spec.concurrency_policy or "Allow"
        spec.suspend = bool(spec.suspend)
        if spec.successful_jobs_history_limit is None:
            spec.successful_jobs_history_limit = 3
        if spec.failed_jobs_history_limit is None:
            spec.failed_jobs_history_limit = 1
        default_template(spec.job_template.spec)

    def prepare_for_create(self, obj: CronJob) -> None:
        obj.status = CronJobStatus()

    def prepare_for_update(self, obj: CronJob, old: CronJob) -> None:
        obj.status = old.status

    def warnings(self, obj: CronJob) -> Iterator[str]:
        return maker_warnings(
            obj.metadata.name, SPEC / "jobTemplate" / "spec" / "template", obj.spec.job_template.spec.template
        )

    def validate(self, obj: CronJob) -> Iterator[FieldError]:
        spec, name = obj.spec, obj.metadata.name or ""
        if len(name) > _NAME_LIMIT:
            yield Path("metadata", "name").invalid(name, f"must be no more than {_NAME_LIMIT} characters")
        yield from _schedule(spec.schedule, spec.time_zone)
        for field, number in (
            ("startingDeadlineSeconds", spec.starting_deadline_seconds),
            ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit),
            ("failedJobsHistoryLimit", spec.failed_jobs_history_limit),
        ):
            yield from not_negative(SPEC / field, number)
        yield from field_rules.required(SPEC / "concurrencyPolicy", spec.concurrency_policy, _POLICIES)
        template = SPEC / "jobTemplate"
        yield from names.validate_labels(template / "labels", spec.job_template.metadata.labels)
        yield from names.validate_annotations(template / "annotations", spec.job_template.metadata.annotations)
        yield from validate_spec(template / "spec", spec.job_template.spec)
        if spec.job_template.spec.manual_selector:
            yield (template / "spec" / "manualSelector").not_supported(True, ("nil", "false"))


def _schedule(schedule: str, zone: str | None) -> Iterator[FieldError]:
    path = SPEC / "schedule"
    if not schedule:
        yield path.required()
    else:
        if "TZ" in schedule:
            both = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            alone = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            yield path.invalid(schedule, both if zone else alone)
        if (fault := schedules.fault(schedule)) is not None:
            yield path.invalid(schedule, fault)
    if zone is not None:
        if not zone:
            yield (SPEC / "timeZone").invalid(zone, "timeZone must be nil or non-empty string")
        elif zone.lower() == "local":
            yield (SPEC / "timeZone").invalid(zone, "timeZone must be an explicit time zone as defined in "
                                                    "https://www.iana.org/time-zones")  # fmt: skip
        elif zone not in _zones():
            yield (SPEC / "timeZone").invalid(zone, f"unknown time zone {zone}")


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


_KIND = CronJobKind()


def _pod_template(obj: CronJob) -> PodTemplateSpec:
    return obj.spec.job_template.spec.template


CRON_JOBS = StoredResource(
    CronJob,
    _KIND,
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    columns=workloads.column_set(
        columns.name(),
        columns.Column("Schedule", lambda obj: obj.spec.schedule),
        columns.Column("Timezone", lambda obj: obj.spec.time_zone or "<none>"),
        columns.Column("Suspend", lambda obj: "True" if obj.spec.suspend else "False", type="boolean"),
        workloads.count("Active", lambda obj: len(obj.status.active or ())),
        columns.Column(
            "Last Schedule",
            lambda obj: columns.since(obj.status.last_schedule_time) if obj.status.last_schedule_time else "<none>",
        ),
        columns.age(),
        workloads.container_columns(_pod_template),
        workloads.selector_column(lambda obj: obj.spec.job_template.spec.selector),
    ),
    subresources={"status": workloads.status_subresource(_KIND)},
)
