"""How the query of a request is read."""


def boolean(value: str | None) -> bool:
    """A boolean parameter; None where it is absent. Only ``0`` and any spelling of ``false`` mean no.

    As k8s.io/apimachinery/pkg/runtime/conversion.go has it, so that every client is understood: Python's write
    ``True``, Go's leave the value out.
    """
    return value is not None and value.lower() not in ("0", "false")
