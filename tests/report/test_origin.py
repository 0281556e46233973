"""Names of the sender's, made safe to be shown."""

import pytest

from dmarcops.report.origin import shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.xml", "report.xml"),
        ("../../x", "x"),
        ("C:\\reports\\r.zip", "r.zip"),
        ("/", ""),
        ("folder/", "folder"),
        ("..", ""),
        (" . ", ""),
        ("a\x1b[31mb\r\nc\u202ed\u200b", "a[31mbcd"),
        ("Bericht f\u00fcr M\u00e4rz.xml", "Bericht f\u00fcr M\u00e4rz.xml"),
        ("x" * 500, "x" * 120),
    ],
)
def test_shown_is_the_last_part_without_anything_that_misleads(name: str, expected: str) -> None:
    assert shown(name) == expected
