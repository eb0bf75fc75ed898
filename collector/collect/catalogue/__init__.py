"""Collects Radar's lists of authorities and logs.

`walk`     reads a list page by page: which page is next, and whether the list is complete (pure)
`request`  sends one request, inside the budget and with the other rules of requests
`refresh`  brings one list, or the details of one entry, up to date
`keep`     what is due, and the loop of the service
"""

from collector.collect.catalogue.keep import keep_catalogue, refresh_due, refresh_now
from collector.collect.catalogue.refresh import Refreshed

__all__ = ["Refreshed", "keep_catalogue", "refresh_due", "refresh_now"]
