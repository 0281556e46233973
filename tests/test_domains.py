import pytest

from dmarcops.domains import a_labels, dmarc_tags, psd, selected, u_labels


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Example.COM. ", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("a..b", ""),
        ("a b", ""),
        ("", ""),
        ("\ud800.example", ""),
        ("a." * 128, ""),
    ],
)
def test_a_labels_are_what_is_compared(text: str, name: str) -> None:
    assert a_labels(text) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("xn--bcher-kva.example", "bücher.example"),
        ("mail.xn--fsqu00a.xn--0zwm56d", "mail.例子.测试"),
        ("bücher.example", ""),
        ("example.com", ""),
        # No label of IDNA 2008: an emoji, a hyphen at the end, nothing behind the prefix, no Punycode, upper case.
        ("xn--ls8h.example", ""),
        ("xn--a-.example", ""),
        ("xn--.example", ""),
        ("xn--99999.example", ""),
        ("XN--BCHER-KVA.example xn--", ""),
        # A letter that another one and a mark make, which is not the form that is encoded.
        ("xn--ba-vub.example", ""),
    ],
)
def test_u_labels_are_shown_of_valid_names_alone(name: str, text: str) -> None:
    assert u_labels(name) == text


@pytest.mark.parametrize(
    ("record", "tags"),
    [
        ("v=DMARC1; P = None ;", {"v": "DMARC1", "p": "None", "": ""}),
        ("V\t=\tDMARC1;psd=y;psd=n", {"v": "DMARC1", "psd": "y"}),
        ("v=dmarc1; p=none", {}),
        ("p=none; v=DMARC1", {}),
        ("", {}),
    ],
)
def test_tags_are_those_of_a_dmarc_record(record: str, tags: dict[str, str]) -> None:
    assert dmarc_tags(record) == tags


def test_psd_is_that_of_the_one_record() -> None:
    assert psd(["v=DMARC1; psd=Y", "x"]) == "y"
    assert psd(["v=DMARC1; psd=x"]) == "u"
    assert psd(["v=DMARC1"] * 2) is None


def test_no_more_of_the_walk_is_taken_than_it_asks_for() -> None:
    steps = iter([("a.example", None), ("example", "n"), ("never", "y")])
    assert selected("a.example", steps) == "example"  # type: ignore[arg-type]
    assert list(steps) == [("never", "y")]
