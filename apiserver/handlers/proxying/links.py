"""Absolute links of a proxied server made to lead through the proxy: in ``Location``, and in HTML as it passes.

A link is changed where it names a path of the server itself, by path alone or with its own or the client's host name.
Relative links lead through the proxy anyway; links to other hosts are left alone. Links in scripts and style sheets
are not changed.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_ATTRIBUTES: Final = {
    b"a": (b"href",), b"area": (b"href",), b"audio": (b"src",), b"base": (b"href",), b"blockquote": (b"cite",),
    b"body": (b"background",), b"button": (b"formaction",), b"del": (b"cite",), b"embed": (b"src",),
    b"form": (b"action",), b"frame": (b"longdesc", b"src"), b"html": (b"manifest",), b"iframe": (b"longdesc", b"src"),
    b"img": (b"longdesc", b"src", b"usemap"), b"input": (b"src", b"usemap", b"formaction"), b"ins": (b"cite",),
    b"link": (b"href",), b"object": (b"classid", b"codebase", b"data", b"usemap"), b"q": (b"cite",),
    b"script": (b"src",), b"source": (b"src",), b"video": (b"poster", b"src"),
}  # fmt: skip
# No "<" within a tag, even in quotes, which keeps the search linear whatever is fed to it.
_TAG: Final = re.compile(rb"""<([A-Za-z][A-Za-z0-9]*)((?:[^<>"']|"[^"<]*"|'[^'<]*')*)>""")
_ATTRIBUTE: Final = re.compile(rb"""([A-Za-z-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")
_LONGEST_TAG: Final = 64 * 1024
"""Bytes that are held back for the end of a tag; longer ones pass as they are."""


class Links:
    """Where the proxy is, as clients see it, and the names of the server behind it."""

    def __init__(self, prefix: str, hosts: Collection[str]) -> None:
        self._prefix, self._hosts = prefix.rstrip("/"), hosts

    def rewritten(self, link: str) -> str:
        try:
            parts = urlsplit(link)
        except ValueError:
            return link
        is_elsewhere = bool(parts.netloc) and parts.netloc not in self._hosts
        if is_elsewhere or not parts.path.startswith("/") or (parts.scheme and not parts.netloc):
            return link
        if not parts.netloc and f"{parts.path}/".startswith(f"{self._prefix}/"):
            return link  # it already leads through the proxy
        return urlunsplit(("", "", self._prefix + parts.path, parts.query, parts.fragment))


class HtmlLinks:
    """The links of a document that arrives in pieces."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        opened = data.rfind(b"<")
        if opened > data.rfind(b">") and len(data) - opened < _LONGEST_TAG:
            data, self._held = data[:opened], data[opened:]
        else:
            self._held = b""
        return _TAG.sub(self._tag, data)

    def end(self) -> bytes:
        """The bytes that were held back."""
        data, self._held = self._held, b""
        return data

    def _tag(self, match: re.Match[bytes]) -> bytes:
        names = _ATTRIBUTES.get(match[1].lower())
        if names is None:
            return match[0]

        def attribute(attribute_match: re.Match[bytes]) -> bytes:
            if attribute_match[1].lower() not in names:
                return attribute_match[0]
            quoted = attribute_match[3]
            quote = quoted[:1] if quoted[:1] in (b'"', b"'") else b""
            link = quoted[1:-1] if quote else quoted
            new = self._links.rewritten(link.decode("utf-8", "surrogateescape"))
            return attribute_match[1] + attribute_match[2] + quote + new.encode("utf-8", "surrogateescape") + quote

        return b"<" + match[1] + _ATTRIBUTE.sub(attribute, match[2]) + b">"
