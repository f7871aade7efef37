"""The table of Kubernetes' daemons: which runs on which machine, with which flags."""

import ssl
import sys
from collections.abc import Callable

from deploy.lab import engine, etcd, probes
from deploy.lab.addresses import CLUSTER_DNS, CLUSTER_DOMAIN, NODE_PORTS, SERVICE_RANGE
from deploy.lab.certificates import CLUSTER_CA, KUBELET_CA
from deploy.lab.lab import IN_PODS, MASTER, Lab
from deploy.lab.processes import Daemon

PAUSE_IMAGE = "peapod/pause:1.0"


def client_context(lab: Lab) -> ssl.SSLContext:
    """TLS as the administrator: the lab's authority, and the administrator's certificate."""
    context = ssl.create_default_context(cafile=lab.pki / "ca.crt")
    context.load_cert_chain(lab.pki / "admin.crt", lab.pki / "admin.key")
    return context


def control_plane(lab: Lab) -> list[Daemon]:
    """The apiserver first; the others retry until it answers."""
    rows = [_apiserver(lab), _scheduler(lab), _controller_manager(lab)]
    return rows if lab.settings.dns == IN_PODS else [*rows, dns(lab)]


def of_node(lab: Lab, node: str) -> list[Daemon]:
    return [_kubelet(lab, node), _proxy(lab, node)]


def table(lab: Lab) -> list[Daemon]:
    """Every daemon of the lab: etcd, the control plane, each node's engine, kubelet and proxy; then their supervisor."""
    rows = [etcd.daemon(lab), *control_plane(lab)]
    for node in lab.nodes:
        rows += [*engine.daemons(lab, node), *of_node(lab, node)]
    return [*rows, supervisor(lab)]


def supervisor(lab: Lab) -> Daemon:
    code = [lab.checkout / "deploy" / "lab" / f"{module}.py" for module in ("supervisor", "records", "pids")]
    return Daemon(
        node=MASTER,
        name="supervisor",
        namespace="",
        argv=_python(lab, "deploy.lab.supervisor", str(lab.records)),
        healthy=lambda: True,
        inputs=tuple(code),
    )


def _python(lab: Lab, package: str, *flags: str) -> tuple[str, ...]:
    return (sys.executable, "-m", package, *flags)


def _loopback(lab: Lab, machine: str, port: int, scheme: str = "http") -> Callable[[], bool]:
    return probes.http_in(lab.namespace(machine), f"{scheme}://127.0.0.1:{port}/healthz", ssl_unverified)


def ssl_unverified() -> ssl.SSLContext:
    """For health probes on a machine's loopback, of daemons with self-signed certificates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _apiserver(lab: Lab) -> Daemon:
    pki = lab.pki
    argv = _python(
        lab,
        "apiserver",
        *etcd.client_flags(lab),
        f"--encryption-provider-config={pki / 'encryption.yaml'}",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={lab.addresses.master}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--token-auth-file={pki / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
        f"--kubelet-certificate-authority={pki / 'kubelet-ca.crt'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--service-node-port-range={NODE_PORTS}",
    )
    files = (
        "apiserver.crt",
        "ca.crt",
        "kubelet-ca.crt",
        "tokens.csv",
        "apiserver-kubelet-client.crt",
        "sa.key",
        "apiserver-etcd-client.crt",
        "encryption.yaml",
    )
    return Daemon(
        node=MASTER,
        name="kube-apiserver",
        namespace=lab.namespace(MASTER),
        argv=argv,
        healthy=probes.http_in(lab.namespace(MASTER), f"{lab.server}/readyz", lambda: client_context(lab)),
        ports=(6443,),
        inputs=tuple(pki / name for name in files),
    )


def _scheduler(lab: Lab) -> Daemon:
    kubeconfig = lab.daemon_kubeconfig("kube-scheduler")
    return Daemon(
        node=MASTER,
        name="kube-scheduler",
        namespace=lab.namespace(MASTER),
        argv=_python(lab, "scheduler", f"--kubeconfig={kubeconfig}"),
        healthy=_loopback(lab, MASTER, 10259, "https"),
        ports=(10259,),
        inputs=(kubeconfig,),
    )


def _controller_manager(lab: Lab) -> Daemon:
    kubeconfig = lab.daemon_kubeconfig("kube-controller-manager")
    argv = _python(
        lab,
        "controller_manager",
        f"--kubeconfig={kubeconfig}",
        f"--cluster-cidr={lab.addresses.cluster_cidr}",
        "--allocate-node-cidrs=true",
        "--configure-cloud-routes=true",
        "--use-service-account-credentials=true",
        f"--root-ca-file={lab.pki / 'ca.crt'}",
        f"--service-account-private-key-file={lab.pki / 'sa.key'}",
        *_signing_flags(lab),
    )
    return Daemon(
        node=MASTER,
        name="kube-controller-manager",
        namespace=lab.namespace(MASTER),
        argv=argv,
        healthy=_loopback(lab, MASTER, 10257, "https"),
        ports=(10257,),
        inputs=(kubeconfig, lab.pki / "ca.crt", lab.pki / "kubelet-ca.crt", lab.pki / "sa.key"),
    )


def _signing_flags(lab: Lab) -> list[str]:
    """Which authority signs what signing requests ask for: only kubelets get certificates of the kubelets' own."""
    signers = {"kubelet-serving": KUBELET_CA, "kubelet-client": CLUSTER_CA, "kube-apiserver-client": CLUSTER_CA}
    return [
        f"--cluster-signing-{signer}-{kind}-file={lab.pki / f'{authority}.{suffix}'}"
        for signer, authority in signers.items()
        for kind, suffix in (("cert", "crt"), ("key", "key"))
    ]


def dns(lab: Lab) -> Daemon:
    """The cluster's name server, with its service. Without egress it answers only the cluster's names."""
    kubeconfig = lab.daemon_kubeconfig("kube-dns")
    argv = _python(
        lab,
        "kube_dns",
        f"--kubeconfig={kubeconfig}",
        f"--domain={CLUSTER_DOMAIN}",
        f"--dns-bind-address={lab.addresses.master}",
        "--dns-port=53",
        "--healthz-port=8081",
        f"--register-service={CLUSTER_DNS}",
        f"--advertise-address={lab.addresses.master}",
        f"--reverse-ranges={SERVICE_RANGE},{lab.addresses.cluster_cidr}",
        *(() if lab.settings.egress else ("--resolv-conf=",)),
    )
    return Daemon(
        node=MASTER,
        name="kube-dns",
        namespace=lab.namespace(MASTER),
        argv=argv,
        healthy=probes.http_in(lab.namespace(MASTER), "http://127.0.0.1:8081/ready", ssl_unverified),
        ports=(53, 8081),
        inputs=(kubeconfig,),
    )


def _kubelet(lab: Lab, node: str) -> Daemon:
    kubeconfig = lab.daemon_kubeconfig(f"kubelet-{node}")
    certificate = lab.pki / f"kubelet-{node}.crt"
    argv = _python(
        lab,
        "kubelet",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node}",
        f"--node-ip={lab.node_address(node)}",
        f"--root-dir={lab.node_state(node) / 'kubelet'}",
        f"--docker-endpoint=unix://{engine.socket_of(lab, node)}",
        f"--pod-infra-container-image={PAUSE_IMAGE}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={lab.pki / f'kubelet-{node}.key'}",
        f"--client-ca-file={lab.pki / 'ca.crt'}",
        f"--cluster-dns={CLUSTER_DNS}",
        f"--cluster-domain={CLUSTER_DOMAIN}",
        f"--cluster-cidr={lab.addresses.cluster_cidr}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
    )
    return Daemon(
        node=node,
        name="kubelet",
        namespace=lab.namespace(node),
        argv=argv,
        healthy=_loopback(lab, node, 10248),
        ports=(10248, 10250),
        inputs=(kubeconfig, certificate, lab.pki / "ca.crt"),
    )


def _proxy(lab: Lab, node: str) -> Daemon:
    kubeconfig, certificate = lab.daemon_kubeconfig("kube-proxy"), lab.pki / f"kubelet-{node}.crt"
    argv = _python(
        lab,
        "kube_proxy",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node}",
        f"--cluster-cidr={lab.addresses.cluster_cidr}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        # so that the apiserver, to which it proves to be this node's, can reach its table
        f"--metrics-bind-address={lab.node_address(node)}:10249",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={lab.pki / f'kubelet-{node}.key'}",
        f"--client-ca-file={lab.pki / 'ca.crt'}",
    )
    return Daemon(
        node=node,
        name="kube-proxy",
        namespace=lab.namespace(node),
        argv=argv,
        healthy=_loopback(lab, node, 10256),
        ports=(10249, 10256),
        inputs=(kubeconfig, certificate),
    )
