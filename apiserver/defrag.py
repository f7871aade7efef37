"""``kube-etcd-defrag``: make room in etcd, also when it is so full that the apiserver cannot write.

Compacts etcd to the present, defragments its members one after the other, and disarms the alarm.
"""

import asyncio
import sys
from dataclasses import dataclass
from typing import Final

from apiserver.options import EtcdConnectionOptions
from apiserver.storage import Etcd, make_room
from apiserver.storage.etcd.errors import EtcdError
from component_base.flags import Options, group, parse

_NAME: Final = "kube-etcd-defrag"
_ABOUT: Final = (
    "Makes room in etcd: forgets old revisions, defragments each member, and switches off the alarm that etcd raises "
    "when it is out of space. The apiserver may run; requests wait while a member is being defragmented, some seconds "
    "for each gigabyte. Delete what is not needed first."
)


@dataclass(frozen=True, kw_only=True)
class DefragOptions(Options):
    etcd: EtcdConnectionOptions = group("etcd", EtcdConnectionOptions)

    def __post_init__(self) -> None:
        self.etcd.check()


async def _run(options: DefragOptions) -> None:
    etcd = Etcd(options.etcd.config())
    try:
        async for member in make_room(etcd):
            print(
                f"etcd {member.url}: {member.before / 1e6:.1f} MB before, {member.after / 1e6:.1f} MB after", flush=True
            )
    finally:
        await etcd.close()


def main() -> None:
    options = parse(DefragOptions, _NAME, _ABOUT)
    try:
        asyncio.run(_run(options))
    except EtcdError as fault:
        sys.exit(f"{_NAME}: {fault}")


if __name__ == "__main__":
    main()
