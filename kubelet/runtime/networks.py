"""The engine's network that pods are on: a bridge of ours, created once and reused by later runs."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Final

import docker
import docker.types

from kubelet.runtime import errors
from kubelet.runtime.engine import Engine

LABEL: Final = "io.peapod.network"


@dataclass(frozen=True)
class Bridge:
    """The network as it should be."""

    name: str
    device: str
    subnet: IPv4Network
    mtu: int


async def ensure_network(engine: Engine, bridge: Bridge) -> None:
    """Create the network unless it exists. One of ours with another subnet is replaced if no pod is on it.

    Raises:
        errors.Conflict: a network of that name is not ours, or pods are still on one with another subnet.
    """

    def work(client: docker.APIClient) -> None:
        for network in client.networks(names=[bridge.name]):
            if network["Name"] != bridge.name:  # the filter matches parts of names
                continue
            if LABEL not in (network.get("Labels") or {}):
                raise errors.Conflict(f"the engine has a network {bridge.name} that is not ours")
            if _subnet(network) == str(bridge.subnet):
                return
            _remove(client, network)
        client.create_network(
            bridge.name,
            driver="bridge",
            ipam=docker.types.IPAMConfig(
                pool_configs=[
                    docker.types.IPAMPool(subnet=str(bridge.subnet), gateway=str(bridge.subnet.network_address + 1))
                ]
            ),
            options={
                "com.docker.network.bridge.name": bridge.device,
                # The engine would masquerade towards other nodes' pods too; the kubelet's own rules do not.
                "com.docker.network.bridge.enable_ip_masquerade": "false",
                "com.docker.network.driver.mtu": str(bridge.mtu),
            },
            labels={LABEL: "pods"},
        )

    await engine.call(work)


def _subnet(network: dict[str, Any]) -> str:
    configs = (network.get("IPAM") or {}).get("Config") or [{}]
    return str(configs[0].get("Subnet", ""))


def _remove(client: docker.APIClient, network: dict[str, Any]) -> None:
    try:
        client.remove_network(network["Id"])
    except docker.errors.APIError as exc:
        raise errors.Conflict(
            f"network {network['Name']} has subnet {_subnet(network)} and pods still on it: {exc.explanation}"
        ) from exc
