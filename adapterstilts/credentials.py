"""Hides credentials in messages: user names and passwords in URLs, tokens, signed queries."""

from __future__ import annotations

import re

HIDDEN = "***"
# Messages can be of any length, so no expression here may backtrack over a long text.
USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/?#\s]*@")  # up to the last @ before the path
TOKEN = re.compile(r"\b(hf_|api_org_|ghp_|sk-)[A-Za-z0-9_-]{8,}")
QUERY = re.compile(r"([?&;])([^=&;?\s]*)=([^&#\s'\")]+)")
SECRET = re.compile("token|key|secret|password|passwd|signature|credential|auth|sig", re.IGNORECASE)
BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


def masked(text: str) -> str:
    """Returns a text with its credentials replaced by `***`.

    >>> masked("https://me:secret@hub.example/x?token=abc&n=1 and hf_0123456789")
    'https://***@hub.example/x?token=***&n=1 and hf_***'
    """
    text = USER.sub(rf"\1{HIDDEN}@", text)
    text = QUERY.sub(_without_secret, text)
    return BEARER.sub(rf"\1 {HIDDEN}", TOKEN.sub(rf"\1{HIDDEN}", text))


def _without_secret(match: re.Match[str]) -> str:
    mark, name, _ = match.groups()
    return f"{mark}{name}={HIDDEN}" if SECRET.search(name) else match[0]
