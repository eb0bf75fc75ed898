"""The reference: the pages that `collector docs` prints and the daemon serves at `/docs`.

Each page is a Markdown file in this folder. `python -m collector.reference` writes the blocks between
`<!-- generated: NAME -->` and `<!-- end -->` from the code. Everything else is written by hand.
"""

from __future__ import annotations

import re
from importlib.resources import files

PAGES = {
    "settings": "every key of the configuration, with its default and what it allows",
    "commands": "every command and option, exit codes, signals",
    "http": "every route: `/api/v1`, Cloudflare's own contract, the page",
    "analysis": "shares, ranks, growth, citations, marks on charts, the Python interface",
    "questions": "what people ask, each as a command, a URL and a view of the page",
    "recipes": "DuckDB, pandas, Datasette, Prometheus and Grafana with the history",
    "metrics": "every metric, the states of a profile, log events",
    "store": "tables, backup, restore, upgrade, moving, retention, pausing, deleting",
    "service": "Docker, systemd, Postgres, several replicas",
    "behaviour": "how history stays complete and exact, question by question",
    "probe": "what `collector probe` finds out, and which odd answers can be tried",
    "changes": "what is new, and which schema revision came with it",
}
"""The pages in the order of the table of contents, each with what it holds."""

_MARKER = re.compile(r"^<!-- (generated: \w+|end) -->\n", re.MULTILINE)


def page(name: str) -> str:
    """Return the page *name* as Markdown, without the markers of its generated blocks."""
    return _MARKER.sub("", files(__name__).joinpath(f"{name}.md").read_text("utf-8"))


def whole() -> str:
    """Return all pages as one Markdown document."""
    return "\n".join(page(name) for name in PAGES)
