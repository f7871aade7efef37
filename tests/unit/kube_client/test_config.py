"""Kubeconfigs as people and tools write them."""

import base64
from pathlib import Path

import pytest

from kube_client import config
from kube_client.config import ConfigError, load_config

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: lab
contexts:
- {name: lab, context: {cluster: lab, user: admin, namespace: team}}
- {name: other, context: {cluster: other, user: robot}}
clusters:
- {name: lab, cluster: {server: "https://10.0.0.1:6443/", certificate-authority: pki/ca.crt}}
- {name: other, cluster: {server: "http://10.0.0.2", insecure-skip-tls-verify: true}}
users:
- {name: admin, user: {client-certificate-data: %s, client-key: /etc/admin.key}}
- {name: robot, user: {token: secret}}
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG % base64.b64encode(b"PEM").decode())
    return file


def test_the_current_context_counts(kubeconfig: Path) -> None:
    config = load_config(kubeconfig)
    assert config.server == "https://10.0.0.1:6443"
    assert config.namespace == "team"
    assert config.ca is not None
    assert config.ca.path == kubeconfig.parent / "pki/ca.crt"  # beside the file, wherever we are
    assert config.client_certificate is not None
    assert config.client_certificate.read() == b"PEM"
    assert config.client_key is not None
    assert config.client_key.path == Path("/etc/admin.key")
    assert config.token is None


def test_another_context_can_be_asked_for(kubeconfig: Path) -> None:
    config = load_config(kubeconfig, context="other")
    assert config.token is not None
    assert config.token.read() == b"secret"
    assert config.namespace == "default"
    assert config.insecure_skip_tls_verify


_ONE = "{current-context: a, contexts: [{name: a, context: {cluster: b}}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("[]", "not a kubeconfig"),
        ("{", "kubeconfig: "),
        ("{}", "no context named ''"),
        ("{current-context: a, contexts: [{name: a, context: {cluster: b}}]}", "no cluster named 'b'"),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b, cluster: {}}]}",
            "no server",
        ),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b, user: u}}], "
            "clusters: [{name: b, cluster: {server: 'https://x', certificate-authority-data: '%%'}}], "
            "users: [{name: u, user: {}}]}",
            "certificate-authority-data",
        ),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b, user: u}}], "
            "clusters: [{name: b, cluster: {server: 'https://x'}}], users: [{name: u, user: {exec: {command: x}}}]}",
            "'exec' is not supported",
        ),
        ("{current-context: a, contexts: 5}", "not a kubeconfig"),
        (
            f"{_ONE}, clusters: [{{name: b, cluster: {{server: 'https://x', certificate-authority: 5}}}}]}}",
            "not a kubeconfig",
        ),
        (f"{_ONE}, clusters: [{{name: b, cluster: {{server: 'ftp://x'}}}}]}}", "must be an http or https URL"),
        (f"{_ONE}, clusters: [{{name: b, cluster: {{server: 'https://x:99999'}}}}]}}", "must be an http or https URL"),
        ("current-context: !!int x", "not YAML"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match="kubeconfig") as failure:
        load_config(file)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_pod_uses_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigError, match="token"):
        load_config()
    (tmp_path / "token").write_text("abc")
    (tmp_path / "namespace").write_text("team\n")
    loaded = load_config()
    assert (loaded.server, loaded.namespace) == ("https://10.0.0.1:443", "team")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ConfigError, match="not in a cluster"):
        load_config()
