"""A local stand-in of the Radar API: a real server that speaks its contract, for the demo, the tests and trying."""

from collector.contract.errors import BAD_REQUEST, TOO_COSTLY, URI_TOO_LONG, Refusal
from collector.contract.request_parser import Asked, Question
from collector.simulator.changes import Change, Hole, Renormalized, Revised, Withdrawn
from collector.simulator.faults import Fault
from collector.simulator.options import MAX_SPAN, RateLimit, SimulatorOptions
from collector.simulator.request_log import Received
from collector.simulator.simulator import Simulator, serve

__all__ = [
    "BAD_REQUEST",
    "MAX_SPAN",
    "TOO_COSTLY",
    "URI_TOO_LONG",
    "Asked",
    "Change",
    "Fault",
    "Hole",
    "Question",
    "RateLimit",
    "Received",
    "Refusal",
    "Renormalized",
    "Revised",
    "Simulator",
    "SimulatorOptions",
    "Withdrawn",
    "serve",
]
