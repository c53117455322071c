"""Checks the metadata of a Hub dataset before a library parses it with unbounded readers."""

from __future__ import annotations

import functools
import re

from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.yaml_lines import read_text

CARD, SETTINGS = "README.md", ".huggingface.yaml"  # both are read as YAML by `datasets`
LARGEST = 2**20  # bytes
MOST_BREAKS = 100  # line breaks in a row: the Hub client's search takes the square of them
BEGIN = re.compile(r"\s*---[\r\n]+")
END = re.compile(r"[\r\n]---(?:\r\n|\n|\Z)")
BREAKS = re.compile(rf"[\r\n]{{{MOST_BREAKS + 1}}}")
SECONDS = 20


@functools.lru_cache(maxsize=64)
def check_metadata(repo: str, commit: str) -> None:
    """Refuses a dataset whose metadata could hang or fill the process that reads it.

    A file that is not found, or a Hub that cannot be reached, is left to whoever reads the dataset.

    Raises:
        MissingDataError: A file is too large, not UTF-8, not YAML within the limits of `yaml_lines`, or has
            front matter that does not end.
    """
    for name in (CARD, SETTINGS):
        content = _content(repo, commit, name)
        if content is None:
            continue
        place = f"{name} at {commit[:12]}"
        try:
            if len(content) > LARGEST:
                raise ConfigError(f"{place}: larger than {LARGEST:,} bytes, the most that is read of it")
            _check(content.decode("utf-8"), name, place)
        except UnicodeDecodeError:
            raise MissingDataError(f"the Hub dataset {repo} cannot be read ({place}: not UTF-8)") from None
        except ConfigError as error:
            raise MissingDataError(f"the Hub dataset {repo} cannot be read ({error})") from None


def _check(text: str, name: str, place: str) -> None:
    first = 0
    if name == CARD:
        begin = BEGIN.match(text)
        if begin is None:
            return
        end = END.search(text, begin.end() - 1)
        if end is None:
            raise ConfigError(f"{place}: it begins with '---', but no line of '---' ends its front matter")
        if BREAKS.search(text, 0, end.start()):
            raise ConfigError(f"{place}: its front matter has more than {MOST_BREAKS} line breaks in a row")
        first, text = text.count("\n", 0, begin.end()), text[begin.end() : end.start()]
    if text.strip():
        read_text(text, place, skipped=first)


def _content(repo: str, commit: str, name: str) -> bytes | None:
    """Returns the file's first bytes, one chunk beyond the limit at most. None if it is not available."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    url = hf_hub_url(repo, name, repo_type="dataset", revision=commit)
    content = b""
    try:
        with get_session().get(url, headers=build_hf_headers(), stream=True, timeout=SECONDS) as response:
            if response.status_code != 200:
                return None
            for chunk in response.iter_content(2**16):
                content += chunk
                if len(content) > LARGEST:
                    break
    except OSError:  # every error of the connection is one
        return None
    return content
