"""kubectl 1.20 against the apiserver: it reads OpenAPI v2 as protobuf and validates by itself."""

import json
import subprocess

from tests import kubectls
from tests.integration.apiserver_process import ApiserverProcess


def kubectl(server: ApiserverProcess, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(kubectls.program(kubectls.OLD)), *arguments]
    return subprocess.run(command, env=server.environment(), input=stdin, capture_output=True, text=True, timeout=60)


def service(**spec: object) -> str:
    body = {"ports": [{"port": 80}], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": body})


async def test_it_validates_applies_and_explains(apiserver: ApiserverProcess) -> None:
    assert "created" in kubectl(apiserver, "apply", "-f", "-", stdin=service()).stdout
    assert "unchanged" in kubectl(apiserver, "apply", "-f", "-", stdin=service()).stdout
    changed = kubectl(apiserver, "apply", "-f", "-", stdin=service(ports=[{"port": 81}]))
    assert "configured" in changed.stdout, changed.stderr
    refused = kubectl(apiserver, "apply", "-f", "-", stdin=service(prots=[]))
    assert refused.returncode == 1
    assert 'unknown field "prots" in io.k8s.api.core.v1.ServiceSpec' in refused.stderr
    explained = " ".join(kubectl(apiserver, "explain", "service.spec.ports").stdout.split())
    assert "One port of a service." in explained
    assert "targetPort <string> The port of the pods, or its name there" in explained
    assert "targetPort" in kubectl(apiserver, "explain", "service.spec", "--recursive").stdout
    assert kubectl(apiserver, "diff", "-f", "-", stdin=service(ports=[{"port": 82}])).returncode == 1
    assert "web" in kubectl(apiserver, "get", "services", "-o", "wide").stdout
    assert "Endpoints:" in kubectl(apiserver, "describe", "service", "web").stdout
