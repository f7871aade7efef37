"""A rule as the kernel's ``struct ipt_entry``: the only place that knows its bytes.

python-iptables can build and explain rules itself, but it asks the iptables extensions to *print* each match
into a pipe laid over the process's standard output: half a millisecond a rule, and unsafe beside other threads.
The handful of forms in ``rules.Rule`` is laid out here instead, in microseconds. The layouts are kernel ABI
(linux/netfilter_ipv4/ip_tables.h, linux/netfilter/x_tables.h, xt_tcpudp.h, xt_comment.h, xt_addrtype.h,
xt_conntrack.h, nf_nat.h, ipt_REJECT.h), little- or big-endian as the machine is.
"""

import struct
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from kube_proxy.iptables.rules import Jump, Redirect, Reject, RejectWith, Rule, Target, UnsupportedRule, check

_ENTRY = struct.Struct("=4s4s4s4s64xHBBIHHI16x")  # ipt_ip, nfcache, target and next offset, comefrom, counters
_INTERFACES = slice(16, 80)
_HEADER = struct.Struct("=H29sB")  # size, name, revision: of a match and of a target alike
_TCP = struct.Struct("=HHHHBBBB")  # source and destination ports, option, flag mask, flag compare, inverse flags
_UDP = struct.Struct("=HHHHB")
_ADDRTYPE = struct.Struct("=HHI")
_CONNTRACK = struct.Struct("=146xHHH10x")  # flags, inverse flags, states; no address, port or time
_REDIRECT = struct.Struct("=IIII2s2s")  # number of ranges (1), flags, addresses, ports in network order
_INT = struct.Struct("=i")

_PROTOCOLS = {"tcp": 6, "udp": 17}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_COMMENT_SIZE = 256
_TYPE_LOCAL = 1 << 2
_STATE, _STATE_DNAT = 1 << 0, 1 << 7
_NOT_DNAT = _CONNTRACK.pack(_STATE, _STATE, _STATE_DNAT)
_PROTO_SPECIFIED = 2
_ANY_PORT = (0, 0xFFFF)
_NOT_SOURCE = 0x08


def encode(rule: Rule) -> bytes:
    """The entry to hand to libiptc; a jump contains the chain's name, which libiptc resolves.

    Raises:
        UnsupportedRule
    """
    check(rule)
    if rule.mark or rule.probability != 1 or rule.recent or rule.src_type_local:
        raise UnsupportedRule(f"{rule}: libiptc's back end has no mark, statistic, recent or addrtype --src-type match")
    matches = b"".join(_encode_matches(rule))
    target = encode_target(rule.target)
    target_offset = _ENTRY.size + len(matches)
    source = rule.not_source or rule.source
    head = _ENTRY.pack(
        source.network_address.packed,
        rule.destination.network_address.packed,
        source.netmask.packed,
        rule.destination.netmask.packed,
        _PROTOCOLS[rule.protocol] if rule.protocol else 0,
        0,
        _NOT_SOURCE if rule.not_source else 0,
        0,
        target_offset,
        target_offset + len(target),
        0,
    )
    return head + matches + target


def encode_target(target: Target) -> bytes:
    match target:
        case Redirect(port):
            ports = port.to_bytes(2, "big")
            return _module("REDIRECT", 0, _REDIRECT.pack(1, _PROTO_SPECIFIED, 0, 0, ports, ports))
        case Reject(reject_with):
            return _module("REJECT", 0, _INT.pack(reject_with.value))
        case Jump(chain):
            return _module(chain, 0, _INT.pack(0))
        case _:
            raise UnsupportedRule(f"{target}: libiptc's back end has no such target")


def decode(entry: bytes, target_name: str) -> Rule | None:
    """The rule in an entry as libiptc reads it, or None when it is of a form that we never write.

    ``target_name`` is libiptc's answer for the entry: a jump's bytes hold an offset only.
    """
    source, address, source_mask, mask, protocol, flags, inverse, _, target_offset, _, _ = _ENTRY.unpack_from(entry)
    if flags or inverse & ~_NOT_SOURCE or any(entry[_INTERFACES]):
        return None
    if protocol and protocol not in _PROTOCOL_NAMES:
        return None
    target = _decode_target(entry[target_offset:], target_name)
    matches = _decode_matches(entry[_ENTRY.size : target_offset])
    if target is None or matches is None:
        return None
    try:
        destination = IPv4Network((address, str(IPv4Address(mask))))
        origin = IPv4Network((source, str(IPv4Address(source_mask))))
    except ValueError:  # host bits, or a mask with holes
        return None
    fields = matches | {"not_source" if inverse else "source": origin}
    return Rule(target, protocol=_PROTOCOL_NAMES.get(protocol), destination=destination, **fields)


def _module(name: str, revision: int, data: bytes) -> bytes:
    size = (_HEADER.size + len(data) + 7) & ~7
    return _HEADER.pack(size, name.encode(), revision) + data.ljust(size - _HEADER.size, b"\0")


def _encode_matches(rule: Rule) -> list[bytes]:
    matches = []
    if rule.destination_port is not None:
        ports = (*_ANY_PORT, rule.destination_port, rule.last_destination_port or rule.destination_port)
        if rule.protocol == "tcp":
            matches.append(_module("tcp", 0, _TCP.pack(*ports, 0, 0, 0, 0)))
        else:
            matches.append(_module("udp", 0, _UDP.pack(*ports, 0)))
    matches.append(_module("comment", 0, rule.comment.encode().ljust(_COMMENT_SIZE, b"\0")))
    if rule.dst_type_local:
        matches.append(_module("addrtype", 1, _ADDRTYPE.pack(0, _TYPE_LOCAL, 0)))
    if rule.not_dnat:
        matches.append(_module("conntrack", 3, _NOT_DNAT))
    return matches


def _decode_matches(data: bytes) -> dict[str, Any] | None:
    """The fields of a rule that its matches set; None for any other match or option."""
    fields: dict[str, Any] = {"comment": ""}
    while data:
        size, raw_name, revision = _HEADER.unpack_from(data)
        name, body = _text(raw_name), data[_HEADER.size : size]
        if name == "comment":
            fields["comment"] = _text(body)
        elif name in ("tcp", "udp"):
            shape = _TCP if name == "tcp" else _UDP
            first, last, port, upper, *options = shape.unpack_from(body)
            if (first, last) != _ANY_PORT or any(options):
                return None
            fields["destination_port"] = port
            fields["last_destination_port"] = upper if upper != port else None
        elif name == "addrtype" and revision == 1 and _ADDRTYPE.unpack_from(body) == (0, _TYPE_LOCAL, 0):
            fields["dst_type_local"] = True
        elif name == "conntrack" and revision == 3 and body[: _CONNTRACK.size] == _NOT_DNAT:
            fields["not_dnat"] = True
        else:
            return None
        data = data[size:]
    return fields


def _decode_target(data: bytes, name: str) -> Target | None:
    _, raw_name, _ = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if not _text(raw_name):  # a standard target: a verdict, or a jump
        return Jump(name)
    if name == "REDIRECT":
        ranges, flags, _, _, lowest, highest = _REDIRECT.unpack_from(body)
        if ranges != 1 or flags != _PROTO_SPECIFIED or lowest != highest:
            return None
        return Redirect(int.from_bytes(lowest, "big"))
    if name == "REJECT":
        (reject_with,) = _INT.unpack_from(body)
        return Reject(RejectWith(reject_with)) if reject_with in RejectWith._value2member_map_ else None
    return None


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")
