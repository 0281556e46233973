from dmarcops.report.fields import FIELD_LENGTH, HeaderFields, uncommented


def test_fields_are_unfolded_and_cleaned_when_read() -> None:
    fields = HeaderFields(b"\xef\xbb\xbf\r\nA: 1\r\nb :  x\r\n\ty\x00\x1bz\r\nC:\nc: 2\nc: 3\n\nD: 4\n")
    assert fields.all("a") == ["1"]
    assert fields.first("b") == "x y  z"
    assert fields.all("c") == ["2", "3"]
    assert fields.first("d") is None
    assert fields.junk_lines == 0


def test_fields_go_on_when_a_line_is_none() -> None:
    fields = HeaderFields(b" lost\nFrom x\nA: 1\njunk\n\nB: 2", all_lines=True)
    assert (fields.all("a"), fields.all("b")) == (["1"], ["2"])
    assert fields.junk_lines == 3


def test_there_are_no_fields_when_there_are_no_octets() -> None:
    assert HeaderFields(b"").first("a") is None


def test_fields_are_bounded_when_there_are_many_and_long_ones() -> None:
    fields = HeaderFields(b"a: " + b"x " * 600 + b"y" * 10_000 + b"\nc: " + b"x" * 10_000 + b"\n" + b"b: 1\n" * 2_000)
    assert fields.first("a") == ("x " * 600).strip()
    assert fields.first("c") is None
    assert len(HeaderFields(b"a:" + b" x" * 1_000 + b" y").first("a") or "") == FIELD_LENGTH - 1
    assert len(fields.all("b")) == 998


def test_comments_are_taken_out_when_they_are_nested() -> None:
    assert uncommented("192.0.2.1 (a (b) c)") == "192.0.2.1"
    assert uncommented("(" * 100 + ")" * 100).startswith("(")
