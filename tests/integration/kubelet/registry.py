"""The reading half of an image registry (the distribution API) on loopback, for pulls: one image, from memory."""

import base64
import contextlib
import gzip
import hashlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@contextlib.contextmanager
def serve_image(
    name: str,
    tag: str,
    layer: bytes,
    config: dict[str, object],
    login: tuple[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """The reference under which the engine finds an image of one layer (a tar) meanwhile, if it knows the ``login``."""
    expected = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}" if login else None
    packed = gzip.compress(layer, mtime=0)
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created_by": "test"}],
    }
    encoded = json.dumps(document).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _part("application/vnd.docker.container.image.v1+json", encoded),
            "layers": [_part("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
        }
    ).encode()
    answers = {
        "/v2/": (b"{}", "application/json"),
        f"/v2/{name}/manifests/{tag}": (manifest, _MANIFEST),
        f"/v2/{name}/manifests/{_digest(manifest)}": (manifest, _MANIFEST),
        f"/v2/{name}/blobs/{_digest(encoded)}": (encoded, "application/octet-stream"),
        f"/v2/{name}/blobs/{_digest(packed)}": (packed, "application/octet-stream"),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if expected and self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body, kind = answers.get(self.path, (b"{}", ""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}/{name}:{tag}"
        finally:
            server.shutdown()
            thread.join()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _part(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(data), "digest": _digest(data)}
