"""The Hub's own client, set up to try again, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, configure_http_backend, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from requests import RequestException, Session
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from adapterstilts.credentials import masked
from adapterstilts.errors import HubError
from adapterstilts.version import __version__

TRIES = 5
PAUSE = 0.5  # seconds before the second try; each further pause is twice as long
BUSY = (408, 429, 500, 502, 503, 504)
ANSWERS = {
    409: "somebody else is making it at this moment: give the same command again",
    412: "somebody else published to it meanwhile: look at it, and give the command again",
    429: "the Hub says that there were too many requests: wait a while",
}
LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
LOST = (
    "the connection to the Hub failed ({detail}), more tries too: nothing is left half-done; give the same "
    "command again"
)
SAID: tuple[tuple[type[Exception], str], ...] = (
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE is set, so the Hub is not asked: unset it"),
    (LocalTokenNotFoundError, f"you are not logged in to the Hub: {LOGIN}"),
    (HFValidationError, "that is no name of a repository (owner/name): {detail}"),
    (GatedRepoError, f"it is gated: ask for access on its page, and {LOGIN}"),
    (RevisionNotFoundError, "it has no such revision"),
    (LocalEntryNotFoundError, LOST),
    (EntryNotFoundError, "it has no such file ({detail})"),
)
# Other errors are not the Hub's: a full disk, a cache that cannot be written
ERRORS = (*(kind for kind, _ in SAID), HfHubHTTPError, RequestException, ConnectionError, TimeoutError)


def client() -> HfApi:
    """A client that takes the token from where the Hub's own program keeps it (HF_TOKEN, or its login).

    It tries again where the Hub is busy or a connection breaks, with pauses that double; a commit that was
    made after all is not made twice, because each names the commit that it follows.
    """
    if not constants.HF_HUB_OFFLINE:  # else its own sessions see to it that nothing is asked
        configure_http_backend(_session)
    return HfApi(library_name="adapterstilts", library_version=__version__)


def _session() -> Session:
    retry = Retry(
        total=TRIES, backoff_factor=PAUSE, status_forcelist=BUSY, allowed_methods=None, raise_on_status=False
    )
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


@contextmanager
def hub_errors(repo: str, *, writing: bool = False) -> Iterator[None]:
    """Turns the client's errors into a HubError that says what to do; none of them shows a token.

    Args:
        repo: the repository that is asked for, for the message.
        writing: whether it is written to, which wants a login.
    """
    try:
        yield
    except ERRORS as error:
        raise HubError(masked(f"{repo}: {_said(error, writing)}")) from None


def _said(error: Exception, writing: bool) -> str:
    """What happened and what to do, in our words."""
    for kind, text in SAID:  # the narrower types come first
        if isinstance(error, kind):
            return text.format(detail=_last_line(error))
    if isinstance(error, HfHubHTTPError):
        return _refused(error, writing)
    return LOST.format(detail=type(error).__name__)


def _refused(error: HfHubHTTPError, writing: bool) -> str:
    status = None if error.response is None else int(error.response.status_code)
    missing = isinstance(error, RepositoryNotFoundError) and status != 401
    if missing and not writing:
        return f"the Hub has no such repository, or it is private: {LOGIN}, if it is yours"
    if missing or status in (401, 403):
        return f"the Hub does not take your token, or it may not {'write' if writing else 'read'}: {LOGIN}"
    return ANSWERS.get(status or 0, f"the Hub answered with status {status}: {_last_line(error)}")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
