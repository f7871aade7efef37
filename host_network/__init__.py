"""The host's network as the kubelet, the proxy and the controller manager share it.

Addresses, bridges, routes and packet filter rules, read and written through the host's own ``ip`` and ``iptables``.
Everything but ``node_routes.NodeRoutes`` and ``local_addresses`` blocks: call it in a thread.
"""
