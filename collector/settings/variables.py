"""Which environment variables exist. The names of files in a secrets directory are the same ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from collector.profile import nearest
from collector.settings.tables import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "COLLECTOR_"
CONFIG = "COLLECTOR_CONFIG"
SECRETS_DIR = "COLLECTOR_SECRETS_DIR"

VARIABLES: Mapping[str, tuple[str, str]] = {
    "CLOUDFLARE_API_TOKEN": ("radar", "api_token"),
    "CLOUDFLARE_EMAIL": ("radar", "email"),
    "CLOUDFLARE_API_KEY": ("radar", "api_key"),
    **{
        f"{PREFIX}{section}__{key}".upper(): (section, key)
        for section, model in SECTIONS.items()
        for key in model.model_fields
    },
}
"""Every variable that sets a key; with `_FILE` behind it, it names a file. Of two for one key the later one counts."""

_OF_OTHERS = ("COLLECTOR_TEST_", "COLLECTOR_SIMULATE_")  # the tests' own, and options of `collector simulate`
_SERVICE_LINK = re.compile(
    r"COLLECTOR_((?!.*__)\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)


def find_unknown(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (variable, why it is refused) for what begins like ours and is none of ours."""
    known = (CONFIG, SECRETS_DIR, *VARIABLES, *(f"{name}_FILE" for name in VARIABLES))
    for name, text in environ.items():
        upper = name.upper()
        if (
            name in known
            or not upper.startswith(PREFIX)
            or upper.startswith(_OF_OTHERS)
            or _is_service_link(name, text)
        ):
            continue
        if upper.startswith(f"{PREFIX}PROFILE"):
            yield name, "profiles are not read from the environment; write [[profiles]] in the configuration file"
        else:
            yield name, f"unknown variable{nearest(name, known)}; allowed: {PREFIX}<SECTION>__<KEY>"


def _is_service_link(name: str, text: str) -> bool:
    """Tell what Kubernetes sets by itself for a Service of the name `collector`, see `enableServiceLinks`."""
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and text.startswith(("tcp://", "udp://")))
