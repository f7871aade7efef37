"""This machine as a Node object: what it is and has (``machine``, ``limits``, ``address``), and how it is doing
(``status``), which ``keeper`` and ``lease`` report to the API.
"""
