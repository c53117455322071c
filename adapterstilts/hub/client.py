"""Sets up the Hub's client with retries, and translates its errors."""

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
PAUSE = 0.5  # seconds before the first retry; doubled before each further one
# Statuses that a retry can change
BUSY = (408, 429, 500, 502, 503, 504)
ANSWERS = {
    409: "the repository is being created by another process: run the same command again",
    412: "the repository changed during the upload: check its content, then run the command again",
    429: "the Hub reports too many requests: wait a few minutes",
}
LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write permission"
LOST = (
    "the connection to the Hub failed after several retries ({detail}); no partial result remains: run the "
    "same command again"
)
# Checked in this order: narrower types come before those that they inherit from
MESSAGES: tuple[tuple[type[Exception], str], ...] = (
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE is set: unset it to access the Hub"),
    (LocalTokenNotFoundError, f"you are not logged in to the Hub: {LOGIN}"),
    (HFValidationError, "this is not a valid repository id (owner/name): {detail}"),
    (GatedRepoError, f"the repository is gated: request access on its page, then {LOGIN}"),
    (RevisionNotFoundError, "the revision does not exist"),
    (LocalEntryNotFoundError, LOST),
    (EntryNotFoundError, "the file does not exist ({detail})"),
)
# No OSError: a full disk or a read-only cache is not an error of the Hub
ERRORS = (*(kind for kind, _ in MESSAGES), HfHubHTTPError, RequestException, ConnectionError, TimeoutError)


def client() -> HfApi:
    """Returns a client with the user's token (HF_TOKEN, or the login of `hf`) that retries with pauses.

    A retried commit is never applied twice, because each commit names its parent.
    """
    # With HF_HUB_OFFLINE the client's default sessions block all requests; ours would not
    if not constants.HF_HUB_OFFLINE:
        configure_http_backend(_session)
    return HfApi(library_name="adapterstilts", library_version=__version__)


def _session() -> Session:
    # `allowed_methods=None` retries POST too, which urllib3 does not by default
    retry = Retry(
        total=TRIES, backoff_factor=PAUSE, status_forcelist=BUSY, allowed_methods=None, raise_on_status=False
    )
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


@contextmanager
def hub_errors(repo: str, *, writing: bool = False) -> Iterator[None]:
    """Converts the client's errors into a HubError that says what to do, and never shows a token.

    Args:
        repo: Repository id, for the message.
        writing: Whether the request writes, which requires a login.
    """
    try:
        yield
    except ERRORS as error:
        # `from None`: the original error can hold a URL or a header with the token
        raise HubError(masked(f"{repo}: {_message(error, writing)}")) from None


def _message(error: Exception, writing: bool) -> str:
    for kind, text in MESSAGES:
        if isinstance(error, kind):
            return text.format(detail=_last_line(error))
    if isinstance(error, HfHubHTTPError):
        return _status_message(error, writing)
    return LOST.format(detail=type(error).__name__)


def _status_message(error: HfHubHTTPError, writing: bool) -> str:
    status = None if error.response is None else int(error.response.status_code)
    # The Hub answers 404 for a private repository without access, and 401 without a login
    missing = isinstance(error, RepositoryNotFoundError) and status != 401
    if missing and not writing:
        return f"the repository does not exist or is private: if it is yours, {LOGIN}"
    if missing or status in (401, 403):
        access = "write" if writing else "read"
        return f"the Hub refused your token, or it has no permission to {access}: {LOGIN}"
    return ANSWERS.get(status or 0, f"the Hub answered with status {status}: {_last_line(error)}")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
