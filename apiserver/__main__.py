"""``kube-apiserver``: flags, then wiring."""

import functools
import sys
from typing import NoReturn

from apiserver.options import ApiserverOptions
from apiserver.server import serve
from component_base import logs
from component_base.daemon import run
from component_base.flags import parse
from component_base.serving import bind_several
from component_base.workers import supervise

_NAME = "kube-apiserver"


def main() -> None:
    options = parse(
        ApiserverOptions,
        _NAME,
        "Serves the Kubernetes API over HTTPS and stores every object in etcd. The other daemons talk only to it.",
    )
    if options.serving.workers == 1:
        run(_NAME, serve, options)
    _side_by_side(options)


def _side_by_side(options: ApiserverOptions) -> NoReturn:
    logs.setup(options.logging_format, options.v)  # type: ignore[arg-type]  # the flag allows only these
    address = (str(options.serving.bind_address), options.serving.secure_port)
    try:
        # held here as well, so that connections queued for a worker that died are served by the next
        listeners = bind_several(address, options.serving.workers)
    except OSError as fault:
        sys.exit(f"{_NAME}: {fault}")

    def work(n: int) -> NoReturn:
        run(_NAME, functools.partial(serve, listener=listeners[n]), options)

    supervise(len(listeners), work)


if __name__ == "__main__":
    main()
