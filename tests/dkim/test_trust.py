import pytest

from dmarcops.dkim.header_fields import parse_header
from dmarcops.dkim.trust import Block, Trust, topmost_block


def is_aligned(one: str, other: str) -> bool:
    return one.split(".")[-2:] == other.split(".")[-2:]


def block(fields: str, *authserv_ids: str) -> Block:
    return topmost_block(parse_header(fields.encode()), Trust(authserv_ids, is_aligned))


def words(fields: str, *authserv_ids: str) -> list[str]:
    """Give the result words that are believed."""
    return [y.result for x in block(fields, *authserv_ids).trusted for y in x.results.results]


OURS = "Authentication-Results: mx.example.com; dkim=pass\n"
IN = "Received: from out.sender.example (out.sender.example [198.51.100.7]) by mx.example.com (Postfix); date\n"
INNER = "Received: from mx.example.com (localhost [127.0.0.1]) by mail.example.com (Dovecot) with LMTP; date\n"
FROM = "From: a@sender.example\n"
BELOW = "stands above it, below the one that took the mail in; if both are yours, add their hosts to authserv_ids"


@pytest.mark.parametrize(
    ("authserv_id", "entries", "entry"),
    [
        ("mx.example.com", ["mx.example.com"], "mx.example.com"),
        ("MX.Example.com", [" mx.EXAMPLE.com. "], " mx.EXAMPLE.com. "),
        ("xn--bcher-kva.example", ["b\u00fccher.example"], "b\u00fccher.example"),
        ("mx.example.com", [".example.com"], ".example.com"),
        ("a.mx.example.com", [".example.com"], ".example.com"),
        ("My Server", ["my server"], "my server"),
        ("", [""], ""),
        ("example.com", [".example.com"], None),
        ("notexample.com", [".example.com"], None),
        ("mx.example.com.attacker.example", ["mx.example.com", ".example.com"], None),
        ("mx.example.com", ["example.com"], None),
        ("mx.example.com", [""], None),
        ("", ["mx.example.com"], None),
        ("mx.example.com", [], None),
    ],
)
def test_entry_for_is_exact_or_anchored_at_a_label(authserv_id: str, entries: list[str], entry: str | None) -> None:
    assert Trust(tuple(entries), is_aligned).entry_for(authserv_id) == entry


@pytest.mark.parametrize(
    "fields",
    [
        OURS + IN + FROM,  # RFC 8601 section 5: above the Received of its own hop
        IN + OURS + FROM,  # Postfix and its milters: below
        INNER + IN + OURS + FROM,
        INNER + OURS + IN + FROM,
        "Delivered-To: x\nReceived: by 2002:a05:6a20::1 with SMTP id x\nX-Received: by x\nARC-Seal: i=1\n" + IN + OURS,
        "Received: (qmail 1 invoked by uid 0); date\n" + IN + OURS,
        "Received: by mailuser.nyi.internal (Postfix, from userid 0); date\n" + IN + OURS,
        "Received: from mx3 ([10.202.2.202]) by compute5.internal (LMTPProxy); date\n" + IN + OURS,
        "Received: from [127.0.0.1] by localhost; date\n" + IN + OURS,
        "Received: from mx.example.com (mx.example.com. [198.51.100.1]) by sloti53n25 (Cyrus); date\n" + IN + OURS,
        "Received: from; date\n" + IN + OURS,
        "Received: from x\n" + IN + OURS,
        "Received:\n" + IN + OURS,
        "Return-Path: <x>\nDMARC-Filter: OpenDMARC\n" + OURS + "DKIM-Filter: OpenDKIM\n" + FROM,
    ],
)
def test_topmost_block_is_believed_below_the_hops_of_the_receiving_side(fields: str) -> None:
    assert words(fields, "mx.example.com") == ["pass"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (FROM, "no Authentication-Results"),
        ("ARC-Authentication-Results: i=1; mx.example.com; dkim=pass\n" + FROM, "no Authentication-Results"),
        (
            "Authentication-Results: attacker.example; dkim=pass\n" + IN + OURS,
            "authserv-id 'attacker.example' is not trusted",
        ),
        ("Authentication-Results: dkim=pass\n", "a field without authserv-id is not trusted"),
        ("Authentication-Results: mx.example.com 2; dkim=pass\n", "version 2 is not supported"),
        (FROM + OURS, "from stands above the topmost Authentication-Results"),
        ("DKIM-Signature: x\n" + OURS, "dkim-signature stands above the topmost Authentication-Results"),
        (
            "Received: from a.example by mx.other.example; date\n" + OURS,
            "the hop by mx.other.example stands above it; if that host is yours, add it to authserv_ids",
        ),
        (
            IN + "Received: from pc by relay.attacker.example; date\n" + OURS,
            f"the hop by relay.attacker.example {BELOW}",
        ),
        (
            IN + "Received: (qmail 1 invoked by uid 0); date\n" + OURS,
            f"the hop by an unnamed host {BELOW}",
        ),
    ],
)
def test_topmost_block_says_why_nothing_is_believed(fields: str, reason: str) -> None:
    found = block(fields, "mx.example.com")
    assert (found.trusted, found.reason) == ((), reason)


@pytest.mark.parametrize(
    "taken_in",
    [
        "from mx.example.com (out.attacker.example [198.51.100.7])",
        "from mx.example.com (unknown [198.51.100.7])",
        "from unknown (HELO mx.example.com) (198.51.100.7)",
        "from localhost (8.8.8.8)",
        "from [8.8.8.8] (helo=mx.example.com)",
        "from pc ([IPv6:2a00:1450::1])",
    ],
)
def test_topmost_block_ends_below_the_hop_from_outside_whatever_it_called_itself(taken_in: str) -> None:
    fields = f"Received: {taken_in} by mx.example.com; date\nReceived: from x by localhost; date\n" + OURS
    assert words(fields, "mx.example.com") == []


@pytest.mark.parametrize(
    "between",
    [
        IN,
        "Received: by x\n",
        "DKIM-Signature: v=1\n",
        "From: a@b.example\n",
        "Subject: x\n",
        "Unheard-Of: x\n",
    ],
)
def test_topmost_block_ends_at_the_next_hop_or_at_what_the_sender_wrote(between: str) -> None:
    forged = "Authentication-Results: mx.example.com; dkim=pass\n"
    assert words("Authentication-Results: mx.example.com; dkim=fail\n" + between + forged, "mx.example.com") == ["fail"]


def test_topmost_block_leaves_out_foreign_fields_within() -> None:
    fields = (
        "Authentication-Results: mx.example.com; dkim=fail\nX-Info: x\nAuthentication-Results: mx.evil; dkim=pass\n"
    )
    assert words(fields + "Authentication-Results: mx.example.com; spf=none\n", "mx.example.com") == ["fail", "none"]


def test_topmost_block_of_a_message_with_an_attached_one_has_only_its_own() -> None:
    assert block(FROM + "Content-Type: message/rfc822\n\n" + OURS, "mx.example.com").trusted == ()


def test_topmost_block_trusts_nobody_by_default() -> None:
    assert words(OURS) == []


def test_hop_hosts_may_be_configured_beside_the_ids() -> None:
    hop = "Received: from x.me.example by p00.me.example; date\n"
    fields = hop + "Authentication-Results: dkim-verifier.icloud.example; dkim=pass\n"
    assert words(fields, "dkim-verifier.icloud.example") == []
    assert words(fields, "dkim-verifier.icloud.example", ".me.example") == ["pass"]


IDLESS = "Authentication-Results: spf=pass; dkim=pass header.d=example.com\n"
OUTLOOK = (
    "Received: from a.prod.outlook.com (::1) by b.prod.outlook.com with HTTPS; date\n"
    "Received: from c.prod.outlook.com (2603:10b6::1) by a.prod.outlook.com (2603:10b6::2); date\n"
)


@pytest.mark.parametrize(
    "fields",
    [
        IDLESS + FROM,
        OUTLOOK + IDLESS + "Received: from x.example (198.51.100.7) by c.mail.protection.outlook.com; date\n" + FROM,
    ],
)
def test_topmost_field_without_id_is_believed_when_no_other_hop_stands_above(fields: str) -> None:
    assert words(fields, "") == ["pass", "pass"]
    assert words(fields, "mx.example.com") == []


@pytest.mark.parametrize(
    "fields",
    [
        IN + IDLESS,
        "Received: by mx.example.com; date\nReceived: by mx.other.example; date\n" + IDLESS,
        OUTLOOK + "Received: from x.example (198.51.100.7) by d.mail.protection.outlook.com; date\n" + IDLESS,
        "Received: from x.outlook.com (y.example [198.51.100.7]) by b.outlook.com; date\n" + IDLESS,
        "Received: x\n" + IDLESS,
        FROM + IDLESS,
        OURS + IDLESS,
    ],
)
def test_field_without_id_is_not_believed_below_another_hop(fields: str) -> None:
    assert words(fields, "") == []


def test_only_the_topmost_field_without_id_is_believed() -> None:
    forged = "Authentication-Results: dkim=fail\n"
    assert words(IDLESS + forged, "") == ["pass", "pass"]
    assert block(OURS + IDLESS, "", "mx.example.com").trusted[0].receiver == "mx.example.com"
    assert len(block(OURS + IDLESS, "", "mx.example.com").trusted) == 1


@pytest.mark.parametrize(
    ("fields", "node"),
    [
        (IN + OURS, "out.sender.example"),
        (INNER + IN + OURS, "out.sender.example"),
        (INNER + OURS + IN, "out.sender.example"),
        (OURS, ""),
        (OURS + "Received: by x\n", ""),
    ],
)
def test_node_is_the_host_that_handed_the_mail_in(fields: str, node: str) -> None:
    assert block(fields, "mx.example.com").node == node
