"""Which attempt of a container a log is taken from, and what is said where there is none."""

import pytest

from apimachinery import errors
from apimachinery.types import core_v1
from kubelet.server.logs import select
from tests.unit.kubelet.records import record

CREATED = record(attempt=1, state="created")


def waiting(reason: str) -> core_v1.ContainerStatus:
    state = core_v1.ContainerState(waiting=core_v1.ContainerStateWaiting(reason=reason))
    return core_v1.ContainerStatus(name="main", image="app:1", state=state)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (None, "not available"),
        (waiting("ContainerCreating"), "waiting to start: ContainerCreating"),
        (waiting("ErrImagePull"), "waiting to start: image can't be pulled"),
        (waiting("ImagePullBackOff"), "waiting to start: trying and failing to pull image"),
        (waiting("CreateContainerConfigError"), "waiting to start: CreateContainerConfigError"),
        (core_v1.ContainerStatus(name="main", image="app:1"), "waiting to start - no logs yet"),
    ],
)
def test_a_container_that_has_not_run_says_what_it_waits_for(status: core_v1.ContainerStatus | None, why: str) -> None:
    for attempts in ([], [CREATED]):
        with pytest.raises(errors.BadRequest) as refused:
            select(attempts, "p", "main", status, previous=False)
        assert refused.value.message == f'container "main" in pod "p" is {why}'


def test_while_the_next_attempt_waits_the_last_one_that_ran_is_shown() -> None:
    ended = record(state="exited")
    assert select([CREATED, ended], "p", "main", waiting("ImagePullBackOff"), previous=False) is ended


def test_without_an_attempt_before_there_is_no_previous_log() -> None:
    with pytest.raises(errors.BadRequest, match='previous terminated container "main" in pod "p" not found'):
        select([record()], "p", "main", None, previous=True)
