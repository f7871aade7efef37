"""Answers the names of the cluster's services, and forwards all others: the cluster's DNS add-on.

``cluster`` keeps ``zone`` equal to the services that informers show (``records`` says which names a service has,
``sources`` where its endpoints come from). ``udp`` and ``tcp`` take questions in, ``resolver`` decides who answers:
the zone (``local``), or a server elsewhere (``forwarder``, ``upstreams``). ``query`` and ``message`` know the wire as
far as questions and finished messages go; ``encoding`` alone knows dnslib. ``registration`` gives the add-on its fixed
address in the cluster.
"""
