"""Credentials in what is printed."""

from __future__ import annotations

import time

import pytest

from adapterstilts.credentials import masked

SECRET = "s3cretpassword"


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@hub.example/x",
        f"https://{SECRET}@hub.example",
        f"HTTP://me:{SECRET}@hub.example:8080?x=1",
        f"s3://key:{SECRET}@bucket/results",
        f"https://me:p@ss{SECRET}@hub.example",
        f"cannot open 'https://me:{SECRET}@a.example' or https://me:{SECRET}@b.example/",
        f"https://hub.example/x?token={SECRET}&a=b",
        f"https://hub.example/x?a=b&X-Amz-Signature={SECRET}",
        f"https://hub.example/x?api_key={SECRET}",
        f"hf_{SECRET}",
        f"Authorization: Bearer {SECRET}",
    ],
)
def test_credentials_are_hidden(text: str) -> None:
    assert SECRET not in masked(text) and "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    ["https://hub.example/me/x@main", "write to me@example.org", "me/x@v1", "a: b@c", "https://hub.example/x?a=1",
     "hf_home", "label@https://hub.example"],
)  # fmt: skip
def test_all_else_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text", ["a", "?key", "?token", "://", "Basic ", "hf_", "&a=b", "https://a", ";sig;", "@", "a.b-"]
)
def test_a_long_text_takes_no_long_time(text: str) -> None:
    started = time.monotonic()
    masked(text * 50_000)
    assert time.monotonic() - started < 2


def test_what_stands_around_a_secret_does_not_matter() -> None:
    assert masked(f"{'a' * 100}https://me:secret@hub.example") == f"{'a' * 100}https://***@hub.example"
    assert masked("x?a?b;x_Token=abc;c=d&sig=e") == "x?a?b;x_Token=***&sig=***"
