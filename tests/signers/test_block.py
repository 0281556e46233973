"""The marked block, over any octets."""

from hypothesis import given
from hypothesis import strategies as st

from dmarcops.errors import UnsafeChangeError
from dmarcops.signers import block

LINES = st.lists(
    st.one_of(
        st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"").replace(b"\0", b"")),
        st.sampled_from([b"a=1", b" a=2 ", b"b=1", b"# a=1", b"", block.BEGIN, block.END, b"\xef\xbb\xbf"]),
    ),
    max_size=8,
)


def is_a(line: block.Line) -> bool:
    return line.text.strip().startswith("a=")


@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.booleans())
def test_changes_one_line_or_nothing(lines: list[bytes], end: bytes, has_end: bool, at_top: bool) -> None:  # noqa: FBT001 - drawn
    data = end.join(lines) + (end if has_end else b"")
    try:
        before = list(block.read(data, "file"))
        edited = block.put(data, "a=9", is_a, name="file", at_top=at_top)
    except UnsafeChangeError:
        return
    after = list(block.read(edited, "file"))
    ours = [line.text for line in after if line.place is block.Place.INSIDE and is_a(line)]
    assert ours == ["a=9"]
    foreign = [line.text for line in before if not (line.place is block.Place.INSIDE and is_a(line))]
    kept = [line.text for line in after if not (line.place is block.Place.INSIDE and is_a(line))]
    # A file that is a byte order mark alone has one empty line, and keeps the mark
    assert list(filter(None, kept)) == list(filter(None, foreign))
    assert block.put(edited, "a=9", is_a, name="file", at_top=at_top) == edited
    for part in data.split(b"\n"):
        if not is_a(block.Line(0, part.decode("latin-1"), block.Place.INSIDE)) and not part.startswith(b"\xef\xbb\xbf"):
            assert part in edited
