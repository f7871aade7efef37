"""An operator: marks config maps that it sees, lets one go only when it agrees, and counts pods on the way."""

from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    settings.scanning.disabled = True


@kopf.on.create("v1", "configmaps", labels={"watched": "yes"})
def mark(patch: kopf.Patch, name: str, **_: Any) -> dict[str, str]:
    patch.metadata.annotations["marked"] = name
    return {"seen": name}


@kopf.on.update("v1", "configmaps", labels={"watched": "yes"}, field="data.k")
def follow(old: Any, new: Any, patch: kopf.Patch, body: kopf.Body, **_: Any) -> None:
    patch.metadata.annotations["change"] = f"{old}-{new}"
    kopf.info(body, reason="Followed", message="the value changed")


@kopf.on.delete("v1", "configmaps", labels={"watched": "yes"})
def agree(logger: Any, **_: Any) -> None:
    logger.info("it may go")


@kopf.on.event("v1", "pods", labels={"watched": "yes"})
def look(type: str | None, patch: kopf.Patch, meta: Any, **_: Any) -> None:
    if type != "DELETED" and "looked" not in meta.get("annotations", {}):
        patch.metadata.annotations["looked"] = str(type)
