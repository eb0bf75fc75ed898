"""What went wrong on the way to Radar and back, in words for a log and a table.

Never by an error's `repr`, which shows the request's headers and so the token.
"""

from __future__ import annotations

import aiohttp

from collector.errors import system_words
from collector.radar.failure import one_line


def in_words(error: aiohttp.ClientError | OSError) -> str:
    """Say in one line why there is no whole reply."""
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ClientConnectorCertificateError():
            words = _not_connected(error)
        case aiohttp.ServerDisconnectedError():
            words = "the server hung up without an answer"
        case aiohttp.ClientPayloadError():
            words = "the answer broke off"
        case aiohttp.ClientHttpProxyError():
            words = f"the proxy does not let the connection through: HTTP {error.status} {one_line(error.message)}"
        case aiohttp.ClientResponseError() if error.message.startswith("Got more than"):
            words = "a header line of the answer is longer than 64 KiB"
        case aiohttp.ClientResponseError():
            words = f"the answer is not HTTP as it should be: {one_line(error.message)}"
        case OSError():
            words = f"the connection broke: {one_line(system_words(error))}"
        case _:
            words = f"{type(error).__name__}: {one_line(str(error))}"
    return words


def _not_connected(error: aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError) -> str:
    """Say in one line why there is no connection."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the server's certificate is not trusted: {one_line(str(error.certificate_error))}"
    reason = one_line(system_words(error.os_error))
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved: {reason}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {error.host} port {error.port}: {one_line(str(error.os_error))}"
        case aiohttp.ClientProxyConnectionError():
            return f"cannot connect to the proxy {error.host} port {error.port}: {reason}"
        case _:
            return f"cannot connect to {error.host} port {error.port}: {reason}"
