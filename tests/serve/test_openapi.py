"""The description and the server say the same."""

import asyncio
import json
import threading
import warnings
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of

from collector.datasets.catalogue import LISTS
from collector.serve.api import analysis
from collector.serve.api.marks import LISTED
from collector.serve.api.routes import _POINTS, _RESOURCES, openapi_text
from tests.harness.http_server import fill, served

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports is not all up to date
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MAY_FAIL = ("/readyz", *(f"/api/v1/{name}/refresh" for name in LISTS))
"""The routes for which a 5xx is an answer as described: nothing is ready here, and there is no Radar."""
LONGEST_URL = 8_000  # a longer one does not come as far as the routes
DOCUMENT = json.loads(openapi_text())


@contextmanager
def _serving(url, folder):
    """Serve on a thread, for schemathesis waits for its answers."""
    ready, addresses = threading.Event(), []
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def main():
        async with served(url, folder) as server:
            await fill(server)
            addresses.append(server.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=lambda: loop).run(main()))
    thread.start()
    try:
        assert ready.wait(20)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def _operations():
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.fixture(scope="module")
def address(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    path = folder / "collector.db"
    path.write_bytes(sqlite_template.read_bytes())
    with _serving(f"sqlite:///{path}", folder) as url:
        yield url


@pytest.mark.parametrize("operation", _operations(), ids=lambda operation: operation.label)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_route_answers_as_described(operation, address):
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=one_of(operation.as_strategy(), operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)))
    def confirm(case):
        checks = [check for check in CHECKS if operation.path not in MAY_FAIL or check is not not_a_server_error]
        response = case.call(base_url=address)
        if len(response.request.url) < LONGEST_URL:
            case.validate_response(response, checks=checks)

    confirm()


def test_every_route_is_described():
    described = {path for path in DOCUMENT["paths"] if path.startswith("/api/v1/")}
    jobs = ["backfills", "backfills/{id}", "backfills/{id}/cancel"]
    jobs += ["stats", "top", "marks", "marks/{id}"]
    names = [*_RESOURCES, "points", "status", *jobs, "prune", "compact", "series/{id}/forget", "fetches/{id}/replay"]
    names += [f"{name}{rest}" for name in LISTS for rest in ("", "/{slug}", "/refresh")]
    assert {f"/api/v1/{name}" for name in [*names, "values/{filter}"]} == described


_ALLOWED = {name: allowed for name, (_, allowed) in _RESOURCES.items()}
_ALLOWED |= {"points": _POINTS, "stats": analysis.STATS, "top": analysis.TOP, "marks": LISTED}


@pytest.mark.parametrize("name", _ALLOWED)
def test_every_parameter_is_described(name):
    allowed = _ALLOWED[name]
    references = [
        entry["$ref"].rpartition("/")[2] for entry in DOCUMENT["paths"][f"/api/v1/{name}"]["get"]["parameters"]
    ]
    assert {DOCUMENT["components"]["parameters"][one]["name"] for one in references} == set(allowed)
