"""Optional dependencies: how to install one in the way that this copy of the collector was installed."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from importlib.util import find_spec
from shlex import quote

_DISTRIBUTION = "radar-collector"


def how_to_install(module: str, extra: str) -> str:
    """Return the command for *extra*. It names packages: that works beside a wheel, a checkout and an editable copy."""
    wanted = " ".join(quote(requirement) for requirement in _requirements(extra) or [module])
    if find_spec("pip"):
        return f"install it: {quote(sys.executable)} -m pip install {wanted}"
    return (  # the Docker image, and environments of other installers
        f"add {wanted} to the environment {sys.prefix} by what made it, "
        f"or build the Docker image with --build-arg EXTRAS={extra}"
    )


def _requirements(extra: str) -> list[str]:
    """Return what the installed distribution declares for *extra*, without the marker; none if it is not installed."""
    try:
        declared = metadata.requires(_DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # modules on PYTHONPATH
        return []
    found = (re.fullmatch(rf"(.+?)\s*;\s*extra == ['\"]{extra}['\"]", text) for text in declared)
    return [match[1] for match in found if match]
