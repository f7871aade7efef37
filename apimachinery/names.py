"""What names, labels and annotations may look like: RFC 1123, RFC 1035 and Kubernetes' own limits."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.selectors import KEY, VALUE

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+\Z")
_ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
_PORT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

ANNOTATIONS_LIMIT: Final = 256 * 1024  # bytes of all keys and values together

NameRule = Callable[[str], str | None]
"""None if a name is allowed, otherwise what is wrong with it."""


def dns_label(name: str) -> str | None:
    if len(name) > 63:
        return "must be no more than 63 characters"
    if not _LABEL.match(name):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
    return None


def dns_label_1035(name: str) -> str | None:
    if len(name) > 63:
        return "must be no more than 63 characters"
    if not _LABEL_1035.match(name):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
            "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        )
    return None


def dns_subdomain(name: str) -> str | None:
    if len(name) > 253:
        return "must be no more than 253 characters"
    if not _SUBDOMAIN.match(name):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return None


def path_segment(name: str) -> str | None:
    """What may be a segment of a URL's path: enough for names that nothing else constrains."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    for sign in "/%":
        if sign in name:
            return f"may not contain '{sign}'"
    return None


def config_key(key: str) -> str | None:
    """A key of a config map or secret, which becomes a file's name."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if not _CONFIG_KEY.match(key):
        return (
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    return "may not be '..' or start with '..'" if key == "." or key.startswith("..") else None


def env_name(name: str) -> str | None:
    if not _ENV_NAME.match(name):
        return (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and "
            "must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for "
            "validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')"
        )
    return None


def port_name(name: str) -> str | None:
    """An IANA service name: at most 15 characters with at least one letter, no double hyphens."""
    if len(name) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.match(name):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not any(char.isalpha() for char in name):
        return "must contain at least one letter (a-z)"
    return "must not contain consecutive hyphens" if "--" in name else None


def qualified_name(name: str) -> str | None:
    """A label key, an annotation key, a resource name, a finalizer."""
    match = KEY.match(name)
    if match is None:
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        )
    if len(match["name"]) > 63:
        return "name part must be no more than 63 characters"
    return "prefix part must be no more than 253 characters" if len(match["prefix"] or "") > 253 else None


def label_value(value: str) -> str | None:
    if len(value) > 63:
        return "must be no more than 63 characters"
    if not VALUE.match(value):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
            "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return None


def check(path: Path, value: str, rule: NameRule) -> Iterator[FieldError]:
    """The fault of one name, if it has one."""
    if (fault := rule(value)) is not None:
        yield path.invalid(value, fault)


def validate_labels(path: Path, labels: Mapping[str, str] | None) -> Iterator[FieldError]:
    for key, value in (labels or {}).items():
        if (fault := qualified_name(key)) is not None:
            yield path.invalid(key, fault)
        if (fault := label_value(value)) is not None:
            yield path.invalid(value, fault)


def validate_annotations(path: Path, annotations: Mapping[str, str] | None) -> Iterator[FieldError]:
    total = 0
    for key, value in (annotations or {}).items():
        total += len(key.encode()) + len(value.encode())
        if (fault := qualified_name(key.lower())) is not None:
            yield path.invalid(key, fault)
    if total > ANNOTATIONS_LIMIT:
        yield path.too_long(ANNOTATIONS_LIMIT)
