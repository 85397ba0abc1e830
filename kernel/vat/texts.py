"""Texts that leave a vat outside CapData: they must have a UTF-8 form, which lone surrogates have not."""

from __future__ import annotations


def has_utf8_form(text: str) -> bool:
    """Say whether a text can be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_utf8_form(text: str) -> str:
    """Give a text with lone surrogates written as escapes."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def size_of(body: str) -> int:
    """Give the bytes that a text takes in a frame, where its quotes and backslashes are escaped once more."""
    return len(body.encode()) + body.count('"') + body.count("\\")
