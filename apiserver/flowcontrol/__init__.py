"""API Priority and Fairness: which requests are served now, which wait and which are refused.

    matching     which flow schema a request falls under
    seats        the seats of one priority level, shared fairly among its flows
    controller   both, kept as the stored FlowSchemas and PriorityLevelConfigurations say

A seat stands for some two milliseconds of the event loop's time: what one request takes at most that is not
called expensive. All that may be seated at once is then what a newcomer waits for at worst.
"""

from apiserver.flowcontrol.controller import Configuration, Flow, FlowController
from apiserver.flowcontrol.seats import Level, Pool, Rejected

__all__ = ["Configuration", "Flow", "FlowController", "Level", "Pool", "Rejected"]
