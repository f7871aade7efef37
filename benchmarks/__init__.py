"""How fast Peapod is, and against what: ``python -m benchmarks`` (``make bench``).

Each group of rows is a module with one entry point that measures the real thing and returns rows: ``api``,
``fanout`` and ``dns`` against an apiserver, ``scheduling`` with a scheduler beside it, ``pods``, ``services`` and
``idle`` in a lab of their own. What drives the load runs in processes of its own (``wrk``, ``generator``, ``watchers``,
``backend``, ``questions``), so that its work is never counted as the server's. ``budget`` holds what must be reached,
``report`` what a person and a program get to see. Nothing here is part of the product, and the product knows nothing of it.

Every figure is the median of several runs after a warm-up, beside the lowest and the highest one. A rate on a busy
machine says little, so the server's own CPU time for each request is shown beside it.
"""
