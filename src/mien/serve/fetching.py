"""Pictures from hosts that the server was told to trust: no redirects, bounded bytes and seconds."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from mien.serve.settings import Refused

__all__ = ["fetch"]

_SECONDS = 10.0


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect could lead anywhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def fetch(address: str, most: int) -> bytes:
    """The bytes behind an address whose host was allowed.

    Raises:
        Refused: no http(s), no answer, or more than ``most`` bytes.
    """
    if not address.lower().startswith(("http://", "https://")):
        raise Refused(400, got="an address that is not of http", expected="http:// or https://")
    opener = urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=_SECONDS) as reply:
            data: bytes = reply.read(most + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Refused(400, got=f"no picture from there ({type(error).__name__})", expected="one") from error
    if len(data) > most:
        raise Refused(413, got="a picture of too many bytes", expected=f"at most {most:,}")
    return data
