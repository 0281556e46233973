import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmarcops.dkim.carrier import Authenticity, carrier_authenticity
from dmarcops.report.align import alignment, suffix_list

RELAXED = alignment(None, suffix_list())
MINE = ("mx.receiver.example",)


def authenticity(
    *results: str,
    author: str = "noreply@reporter.example",
    ids: tuple[str, ...] = MINE,
    verified: tuple[str, ...] = (),
    by: str = "mx.receiver.example",
) -> Authenticity:
    field = f"Authentication-Results: {'; '.join((by, *results))}\n" if results else ""
    return carrier_authenticity(f"{field}From: {author}\n\nbody".encode(), ids, RELAXED, verified=verified)


@pytest.mark.parametrize(
    "results",
    [
        ["dmarc=pass header.from=reporter.example"],
        ["dmarc=pass header.from=Reporter.Example", "dkim=fail header.d=reporter.example", "spf=fail"],
        ["dkim=pass header.d=mail.reporter.example"],
        ["dkim=pass header.i=@reporter.example"],
        ["spf=pass smtp.mailfrom=bounce@mail.reporter.example"],
        ["spf=pass smtp.mailfrom=reporter.example"],
        ["dmarc=none header.from=reporter.example", "dkim=pass header.d=reporter.example"],
        ["dmarc=bestguesspass header.from=reporter.example", "dkim=pass header.d=reporter.example"],
        ["dmarc=fail header.from=other.example", "dkim=pass header.d=reporter.example"],
    ],
)
def test_carrier_is_authenticated_when_a_trusted_field_says_so(results: list[str]) -> None:
    assert authenticity(*results) is Authenticity.AUTHENTICATED


@pytest.mark.parametrize(
    "results",
    [
        [],
        ["none"],
        ["dmarc=fail header.from=reporter.example", "dkim=pass header.d=reporter.example"],
        ["dmarc=temperror header.from=reporter.example", "dkim=pass header.d=reporter.example"],
        ["dmarc=pass header.from=reporter.example", "dmarc=fail header.from=reporter.example"],
        ["dmarc=pass header.from=other.example"],
        ["dmarc=pass"],
        ["dmarc/2=pass header.from=reporter.example"],
        ["dkim=pass header.d=other.example"],
        ["dkim=pass header.d=other.example header.i=@reporter.example"],
        ["dkim=pass"],
        ["dkim=fail header.d=reporter.example"],
        ["spf=pass smtp.mailfrom=other.example"],
        ["spf=pass smtp.helo=reporter.example"],
        ["spf=softfail smtp.mailfrom=reporter.example"],
        ["spf=none (x; dmarc=pass header.from=reporter.example)"],
        ["spf=pass (x ; dmarc=pass header.from=reporter.example"],
        ["spf=pass (x) ; dmarc=pass header.from=reporter.example y)"],
    ],
)
def test_carrier_is_unauthenticated_when_nothing_trusted_says_pass(results: list[str]) -> None:
    assert authenticity(*results) is Authenticity.UNAUTHENTICATED
    assert authenticity(*results, ids=()) is Authenticity.UNKNOWN


@pytest.mark.parametrize("author", ["", "a@b.example, c@reporter.example", "x"])
def test_carrier_needs_one_author(author: str) -> None:
    assert authenticity("dmarc=pass", author=author) is Authenticity.UNAUTHENTICATED
    assert authenticity("dmarc=pass", author=author, ids=()) is Authenticity.UNKNOWN


def test_carrier_is_unauthenticated_by_a_foreign_field() -> None:
    assert authenticity("dmarc=pass header.from=reporter.example", by="attacker.example") is (
        Authenticity.UNAUTHENTICATED
    )
    field = b"Authentication-Results: mx.receiver.example; dmarc=pass header.from=reporter.example\n"
    mail = b"From: a@reporter.example\n\n" + field
    assert carrier_authenticity(mail, MINE, RELAXED) is Authenticity.UNAUTHENTICATED


@pytest.mark.parametrize("ids", [(), MINE])
def test_carrier_is_authenticated_by_a_signature_that_we_verified(ids: tuple[str, ...]) -> None:
    assert authenticity(ids=ids, verified=("mail.reporter.example",)) is Authenticity.AUTHENTICATED
    assert authenticity(ids=ids, verified=("other.example",)) is not Authenticity.AUTHENTICATED
    assert authenticity("spf=fail", ids=ids, verified=("reporter.example",)) is Authenticity.AUTHENTICATED


def test_carrier_is_unauthenticated_when_dmarc_failed_whatever_we_verified() -> None:
    failed = "dmarc=fail header.from=reporter.example"
    assert authenticity(failed, verified=("reporter.example",)) is Authenticity.UNAUTHENTICATED


@given(st.binary(max_size=300))
def test_carrier_never_raises(mail: bytes) -> None:
    assert carrier_authenticity(mail, (), RELAXED) is Authenticity.UNKNOWN
