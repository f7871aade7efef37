"""The flags that say which authority signs what certificate signing requests ask for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apimachinery.core import signing_requests
from component_base.credentials import CERTIFICATES, PRIVATE_KEY, check_pair
from component_base.flags import option
from component_base.values import PERIOD, Duration

_SIGNERS: Final = {
    signing_requests.KUBELET_SERVING: "kubelet-serving",
    signing_requests.KUBELET_CLIENT: "kubelet-client",
    signing_requests.APISERVER_CLIENT: "kube-apiserver-client",
    signing_requests.LEGACY_UNKNOWN: "legacy-unknown",
}
"""How the flags call each signer."""


_CA = "CA that signs {}, instead of --cluster-signing-cert-file."
_KEY = "Key of that CA."


@dataclass(frozen=True, kw_only=True)
class SigningOptions:
    cluster_signing_cert_file: Path | None = option(
        None, "CA that signs for every signer; excludes the ones of single signers.", type=CERTIFICATES
    )
    cluster_signing_key_file: Path | None = option(None, _KEY, type=PRIVATE_KEY)
    cluster_signing_kubelet_serving_cert_file: Path | None = option(
        None, _CA.format("serving certificates of kubelets"), type=CERTIFICATES
    )
    cluster_signing_kubelet_serving_key_file: Path | None = option(None, _KEY, type=PRIVATE_KEY)
    cluster_signing_kubelet_client_cert_file: Path | None = option(
        None, _CA.format("client certificates of kubelets"), type=CERTIFICATES
    )
    cluster_signing_kubelet_client_key_file: Path | None = option(None, _KEY, type=PRIVATE_KEY)
    cluster_signing_kube_apiserver_client_cert_file: Path | None = option(
        None, _CA.format("other client certificates"), type=CERTIFICATES
    )
    cluster_signing_kube_apiserver_client_key_file: Path | None = option(None, _KEY, type=PRIVATE_KEY)
    cluster_signing_legacy_unknown_cert_file: Path | None = option(
        None, _CA.format("what no other signer does"), type=CERTIFICATES
    )
    cluster_signing_legacy_unknown_key_file: Path | None = option(None, _KEY, type=PRIVATE_KEY)
    cluster_signing_duration: Duration = option(
        "8760h", "How long a certificate lives if its request asks for no shorter time.", type=PERIOD
    )

    def __post_init__(self) -> None:
        for prefix, (certificate, key) in self._files():
            check_pair(f"--{prefix}-cert-file", certificate, f"--{prefix}-key-file", key)
            if prefix != "cluster-signing" and certificate is not None and self.cluster_signing_cert_file is not None:
                raise ValueError(f"--cluster-signing-cert-file excludes --{prefix}-cert-file")

    def authorities(self) -> Mapping[str, tuple[Path, Path]]:
        """Certificate and key for each signer that has them."""
        files = dict(self._files())
        pairs = {
            signer: files["cluster-signing"] if self.cluster_signing_cert_file else files[f"cluster-signing-{part}"]
            for signer, part in _SIGNERS.items()
        }
        return {signer: (cert, key) for signer, (cert, key) in pairs.items() if cert is not None and key is not None}

    def _files(self) -> Iterator[tuple[str, tuple[Path | None, Path | None]]]:
        """The flags' common prefix, and their values."""
        for prefix in ("cluster-signing", *(f"cluster-signing-{part}" for part in _SIGNERS.values())):
            name = prefix.replace("-", "_")
            yield prefix, (getattr(self, f"{name}_cert_file"), getattr(self, f"{name}_key_file"))
