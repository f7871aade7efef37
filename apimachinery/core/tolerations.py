"""Which taints a pod tolerates: ``ToleratesTaint`` of Kubernetes' core/v1, and ``MergeTolerations`` (util/tolerations)."""

from collections.abc import Iterable, Sequence

from apimachinery.types.core_v1 import Taint, Toleration

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """No key with Exists tolerates every taint, no effect every effect; Equal is the default operator."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return (toleration.operator or "Equal") == "Equal" and (toleration.value or "") == (taint.value or "")


def is_tolerated(taint: Taint, tolerations: Iterable[Toleration] | None) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations or ())


def merged(first: Sequence[Toleration], second: Sequence[Toleration]) -> list[Toleration]:
    """Both, in their order, without those that another includes; of equal ones the first stays."""
    every, kept = [*first, *second], list[Toleration]()
    for i, toleration in enumerate(every):
        if not any(_includes(other, toleration) for other in kept) and not any(
            other != toleration and _includes(other, toleration) for other in every[i + 1 :]
        ):
            kept.append(toleration)
    return kept


def _includes(wide: Toleration, narrow: Toleration) -> bool:
    """Whether ``wide`` tolerates all that ``narrow`` does, for at least as long."""
    if wide == narrow:
        return True
    if (wide.key or "") != (narrow.key or "") and (wide.key or wide.operator != "Exists"):
        return False
    if wide.effect and wide.effect != narrow.effect:
        return False
    if wide.effect == NO_EXECUTE and not _lasts(wide.toleration_seconds, narrow.toleration_seconds):
        return False
    if wide.operator == "Exists":
        return True
    return narrow.operator == "Equal" and (narrow.value or "") == (wide.value or "")


def _lasts(seconds: int | None, others: int | None) -> bool:
    """Whether one time is at least as long as another; None is for ever."""
    return seconds is None or (others is not None and others <= seconds)
