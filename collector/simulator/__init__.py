"""A local Radar for the demo, the tests and experiments: an HTTP server with the API's contract and synthetic data."""

from collector.contract.request_parser import ApiRequest, SeriesRequest
from collector.contract.response import BAD_REQUEST, TOO_COSTLY, URI_TOO_LONG, ErrorCode
from collector.simulator.catalogue import CatalogueChange, CatalogueOptions
from collector.simulator.faults import Fault
from collector.simulator.gateway import LoggedRequest
from collector.simulator.history import Change, GapChange, NormalizationChange, RevisionChange, WithdrawalChange
from collector.simulator.options import MAX_SPAN, Life, RateLimit, SimulatorOptions, WrongGroups
from collector.simulator.simulator import Simulator, serve

__all__ = [
    "BAD_REQUEST",
    "MAX_SPAN",
    "TOO_COSTLY",
    "URI_TOO_LONG",
    "ApiRequest",
    "CatalogueChange",
    "CatalogueOptions",
    "Change",
    "ErrorCode",
    "Fault",
    "GapChange",
    "Life",
    "LoggedRequest",
    "NormalizationChange",
    "RateLimit",
    "RevisionChange",
    "SeriesRequest",
    "Simulator",
    "SimulatorOptions",
    "WithdrawalChange",
    "WrongGroups",
    "serve",
]
