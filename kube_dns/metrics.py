"""The add-on's metrics, under CoreDNS' names where CoreDNS has one."""

from typing import Final

from component_base.metrics import Counter, Gauge, Histogram

_FINE: Final = tuple(0.00001 * 2**n for n in range(20))
"""10 us to 5 s: a cached answer takes some 20 us, one from elsewhere up to seconds."""

TYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
    43: "DS", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 255: "ANY",
}  # fmt: skip
RCODES: Final = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS",
}  # fmt: skip

requests: Final = Counter("coredns_dns_requests", "Questions, by transport and type.", ["proto", "type"])
responses: Final = Counter("coredns_dns_responses", "Answers, by response code.", ["rcode"])
request_duration: Final = Histogram(
    "coredns_dns_request_duration_seconds", "Seconds from question to answer.", ["proto"], _FINE
)
dropped: Final = Counter("kube_dns_dropped", "Datagrams and connections without an answer, by why.", ["reason"])
cache_hits: Final = Counter(
    "coredns_cache_hits", "Answers that were ready: encoded ones (zone), other servers' (forward).", ["type"]
)
cache_misses: Final = Counter("coredns_cache_misses", "Questions to other servers that no cached answer matched.")
forward_requests: Final = Counter("coredns_forward_requests", "Questions sent to other servers.", ["to"])
forward_failures: Final = Counter("kube_dns_forward_failures", "Of these, those without a usable answer.", ["to"])
forward_rejects: Final = Counter("coredns_forward_max_concurrent_rejects", "Questions refused as too many wait.")
zone_names: Final = Gauge("kube_dns_zone_names", "Names in the cluster's zone, reverse names included.")
