"""Names of attachments and members, made safe to be shown as a part of an origin; never used as a path. Does no I/O."""

LENGTH = 120
"""Characters of a name that are shown."""


def shown(name: str) -> str:
    """
    Give the last part of a sender's file name without anything that could mislead a reader or a terminal.

    Control characters, directions, line ends and folders are taken out (`../../x` is `x`); what is left is cut to
    `LENGTH` characters and may be empty.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if not last.isprintable():
        last = "".join(character for character in last if character.isprintable())
    last = last.strip()
    return "" if last in (".", "..") else last[:LENGTH]
