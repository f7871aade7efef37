"""Every flag of the apiserver with a bad value: status 2, and one line that names the flag."""

from pathlib import Path

import pytest

from apiserver.options import ApiserverOptions
from component_base.flags import flags_of, parse
from tests.certificates import Authority, KeyPair
from tests.refused_flags import refusal

ANY_TEXT = {
    "config",
    "api-audiences",
    "oidc-client-id",
    "oidc-username-claim",
    "oidc-username-prefix",
    "oidc-groups-claim",
    "oidc-groups-prefix",
    "requestheader-allowed-names",
}
"""Flags whose text is the user's own; ``config`` has tests beside ``flags``."""

BAD = [
    ("bind-address", "everywhere"),
    ("secure-port", "70000"),
    ("workers", "0"),
    ("workers", "many"),
    ("max-requests-inflight", "0"),
    ("max-mutating-requests-inflight", "-1"),
    ("advertise-address", "::1"),
    ("tls-cert-file", "/nonexistent"),
    ("tls-cert-file", "{junk}"),
    ("tls-private-key-file", "{junk}"),
    ("tls-private-key-file", "{other_key}"),
    ("etcd-servers", "localhost"),
    ("etcd-servers", ""),
    ("etcd-servers", "http://127.0.0.1:2379,ftp://x"),
    ("etcd-cafile", "{junk}"),
    ("etcd-certfile", "{junk}"),
    ("etcd-certfile", "{certificate}"),
    ("etcd-keyfile", "{junk}"),
    ("etcd-keyfile", "{key}"),
    ("etcd-compaction-interval", "-1s"),
    ("etcd-compaction-interval", "often"),
    ("encryption-provider-config", "{junk}"),
    ("encryption-provider-config", "{encryption}"),
    ("client-ca-file", "{junk}"),
    ("token-auth-file", "/"),
    ("token-auth-file", "{junk}"),
    ("anonymous-auth", "perhaps"),
    ("enable-bootstrap-token-auth", "perhaps"),
    ("authorization-mode", "RBAC,Nonsense"),
    ("authorization-mode", ""),
    ("authorization-mode", "RBAC,AlwaysDeny,RBAC"),
    ("authorization-mode", "Webhook"),
    ("authorization-webhook-config-file", "{junk}"),
    ("authorization-webhook-config-file", "{junk} --authorization-mode=Webhook"),
    ("authorization-webhook-cache-authorized-ttl", "-1s"),
    ("authorization-webhook-cache-unauthorized-ttl", "soon"),
    ("authorization-webhook-version", "v1beta1"),
    ("service-account-issuer", "https:"),
    ("service-account-issuer", ":::"),
    ("service-account-issuer", ""),
    ("service-account-key-file", "{junk}"),
    ("service-account-key-file", "{key}"),
    ("service-account-signing-key-file", "{junk}"),
    ("service-account-signing-key-file", "{key}"),
    ("service-account-signing-key-file", "{certificate}"),
    ("service-account-extend-token-expiration", "perhaps"),
    ("service-account-jwks-uri", ":::"),
    ("oidc-issuer-url", "http://provider.example"),
    ("oidc-issuer-url", ":::"),
    ("oidc-issuer-url", "https://provider.example"),
    ("oidc-jwks-file", "{junk} --oidc-issuer-url=https://provider.example --oidc-client-id=peapod"),
    ("oidc-ca-file", "{junk}"),
    ("oidc-required-claim", "hd"),
    ("oidc-signing-algs", "RS256,HS256"),
    ("oidc-signing-algs", ""),
    ("audit-policy-file", "{junk} --audit-log-path=-"),
    ("audit-policy-file", "{certificate}"),
    ("requestheader-client-ca-file", "{junk}"),
    ("requestheader-username-headers", "x:remote"),
    ("requestheader-group-headers", ""),
    ("requestheader-extra-headers-prefix", "x:"),
    ("audit-log-path", "-"),
    ("audit-log-maxsize", "-1"),
    ("audit-log-maxbackup", "many"),
    ("audit-log-maxage", "1.5"),
    ("enable-admission-plugins", "Nonsense"),
    ("enable-admission-plugins", "Priority --disable-admission-plugins=Priority"),
    ("disable-admission-plugins", "Priority,Nonsense"),
    ("admission-control-config-file", "{junk}"),
    ("admission-control-config-file", "{admission}"),
    ("default-not-ready-toleration-seconds", "-1"),
    ("default-unreachable-toleration-seconds", "5m"),
    ("kubelet-client-certificate", "{junk}"),
    ("kubelet-client-certificate", "{certificate}"),
    ("kubelet-client-key", "{key}"),
    ("kubelet-certificate-authority", "{junk}"),
    ("service-cluster-ip-range", "fd00::/108"),
    ("service-cluster-ip-range", "10.0.0.0/30"),
    ("service-cluster-ip-range", "10.0.0.1/16"),
    ("service-node-port-range", "32767-30000"),
    ("v", "-1"),
    ("logging-format", "xml"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "junk").write_text("junk\n")
    (folder / "encryption").write_text(
        "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, "
        "resources: [{resources: [secrets], providers: [{kms: {name: other}}]}]}"
    )
    (folder / "admission").write_text(
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, "
        "plugins: [{name: PodSecurity, configuration: {apiVersion: v1, kind: Pod}}]}"
    )
    authority = Authority(folder)
    pair, other = authority.issue("serving", "kube-apiserver"), authority.issue("other", "other")
    return {
        "junk": folder / "junk",
        "encryption": folder / "encryption",
        "admission": folder / "admission",
        "certificate": pair.cert,
        "key": pair.key,
        "other_key": other.key,
    }


def serving(files: dict[str, Path]) -> list[str]:
    pair = KeyPair(files["certificate"], files["key"])
    return [f"--tls-cert-file={pair.cert}", f"--tls-private-key-file={pair.key}"]


@pytest.mark.parametrize(("flag", "value"), BAD)
def test_a_bad_value_ends_the_start_with_one_line_that_names_the_flag(
    flag: str, value: str, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*serving(files), *f"--{flag}={value.format(**files)}".split(" ")]
    assert f"--{flag}" in refusal(ApiserverOptions, argv, capsys)


def test_every_flag_is_in_the_table() -> None:
    assert {flag.name for flag in flags_of(ApiserverOptions)} == {flag for flag, _ in BAD} | ANY_TEXT


@pytest.mark.parametrize(
    "issuer", ["https://kubernetes.default.svc", "urn:example:issuer", "spiffe://cluster", "issuer"]
)
def test_an_issuer_is_any_uri_or_a_text_without_a_colon(issuer: str, files: dict[str, Path]) -> None:
    options = parse(ApiserverOptions, "kube-apiserver", "", [*serving(files), f"--service-account-issuer={issuer}"])
    assert options.identity.service_account_issuer == issuer
