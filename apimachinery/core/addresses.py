"""Which IP addresses cannot be those of a machine, a pod or a service that others reach."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_LINK_LOCAL_MULTICAST = (IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/16"))
_BROADCAST = IPv4Address("255.255.255.255")


def special(address: IPv4Address | IPv6Address) -> str:
    """What is wrong with it, in the words of Kubernetes' ``ValidateNonSpecialIP``; empty for any other address."""
    ip = getattr(address, "ipv4_mapped", None) or address
    if ip.is_unspecified:
        return "may not be unspecified (0.0.0.0 or ::)"
    if ip.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if ip.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if any(ip in network for network in _LINK_LOCAL_MULTICAST):
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    if ip.is_multicast:
        return "may not be in the multicast range (224.0.0.0/4, ff00::/8)"
    return "may not be the broadcast address (255.255.255.255)" if ip == _BROADCAST else ""
