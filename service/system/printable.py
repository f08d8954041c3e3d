"""Makes text from elsewhere safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text, with escapes in place of the characters that a terminal could take for commands.

    Labels, names and messages can come from model files and other servers. A line break in them would also
    begin a new line of the log.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
