import pytest

from dmarcops.dkim.signature_field import MAX_LENGTH, Signature, parse_signature


def test_parse_signature_reads_the_tags_that_are_needed() -> None:
    value = "v=1; a=RSA-SHA256; d=Example.com;\r\n\ts=S1; h=From:\r\n List-Id; l=10; x=1; b=ab\r\n cd==;"
    assert parse_signature(value) == Signature(
        "example.com", "s1", "abcd==", "rsa-sha256", ("from", "list-id"), has_length=True, has_expiry=True
    )


@pytest.mark.parametrize(
    "value",
    ["", "v=1", "d=a.example; d=b.example; s=x", "d=a.example; s", "d=a.example; s=x; ;", "d=a b c, s=x",
     "d=a@b; s=x", "d=a.example; s=", "d=a.example; s=x; b=" + "a" * MAX_LENGTH],
)  # fmt: skip
def test_signature_is_not_readable_when_it_is_no_tag_list(value: str) -> None:
    assert not parse_signature(value).is_readable
