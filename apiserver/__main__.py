"""``kube-apiserver``: flags, then wiring."""

from apiserver.options import ApiserverOptions
from apiserver.server import serve
from component_base.daemon import run
from component_base.flags import parse


def main() -> None:
    options = parse(
        ApiserverOptions,
        "kube-apiserver",
        "Serves the Kubernetes API over HTTPS and keeps every object in etcd. All other daemons talk to it alone.",
    )
    run("kube-apiserver", serve, options)


if __name__ == "__main__":
    main()
