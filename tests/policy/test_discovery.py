import pytest

from dmarcops.domains import Domain, suffix_list
from dmarcops.policy.discovery import DifferenceKind, Discovery, Status, compare, discover, discover_by_suffix_list
from policy.zone import NODATA, TEMPERROR, Zone, published

ORGANIZATIONAL = suffix_list()


def walked(domain: str, zone: Zone) -> Discovery:
    return discover(Domain(domain), zone)


def listed(domain: str, zone: Zone) -> Discovery:
    return discover_by_suffix_list(Domain(domain), zone, ORGANIZATIONAL)


# RFC 9989 sections 4.10, 4.10.2, 5.1.8 and appendix B: start, records with their psd, organizational domain, and the
# domain whose record holds.
@pytest.mark.parametrize(
    ("start", "records", "organizational", "found_at"),
    [
        ("a.mail.example.com", ["mail.example.com", "example.com"], "example.com", "example.com"),
        ("a.mail.example.com", ["mail.example.com n", "example.com"], "mail.example.com", "mail.example.com"),
        ("a.mail.example.com", ["com y"], "example.com", "com"),
        ("giant.bank.example", ["giant.bank.example", "bank.example y"], "giant.bank.example", "giant.bank.example"),
        (
            "mail.giant.bank.example", ["giant.bank.example", "bank.example y"],
            "giant.bank.example", "giant.bank.example",
        ),
        ("mail.mega.bank.example", ["bank.example y"], "mega.bank.example", "bank.example"),
        ("mega.bank.example", ["bank.example y"], "mega.bank.example", "bank.example"),
        ("mail.a.b.c.d.e.f.g.example.com", ["b.c.d.e.f.g.example.com n", "example.com"], "example.com", "example.com"),
        ("bank.example", ["bank.example y"], "bank.example", "bank.example"),
        ("x.example.org", [], "x.example.org", None),
        ("example.com", ["example.com", "com"], "com", "example.com"),
    ],
)  # fmt: skip
def test_tree_walk_finds_the_record_that_holds(
    start: str, records: list[str], organizational: str, found_at: str | None
) -> None:
    texts = {(pair := record.split())[0]: f"v=DMARC1; p=reject; psd={(*pair, 'u')[1]}" for record in records}
    found = walked(start, published({**texts}))
    assert (found.organizational_domain, found.found_at) == (organizational, found_at)
    assert found.status is (Status.FOUND if found_at else Status.NONE)
    assert found.policy == ("reject" if found_at else None)


@pytest.mark.parametrize(
    ("start", "queries"),
    [
        (
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",
            [
                "a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com",
                "i.j.mail.example.com", "j.mail.example.com", "mail.example.com", "example.com", "com",
            ],
        ),
        (
            "mail.a.b.c.d.e.f.g.example.com",
            [
                "mail.a.b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", "d.e.f.g.example.com",
                "e.f.g.example.com", "f.g.example.com", "g.example.com", "example.com", "com",
            ],
        ),
    ],
)  # fmt: skip
def test_tree_walk_asks_in_order_and_each_name_once(start: str, queries: list[str]) -> None:
    zone = Zone({})
    assert list(walked(start, zone).queries) == queries
    assert zone.asked == [f"_dmarc.{name}" for name in queries]


def test_tree_walk_stops_at_the_authors_own_record_and_at_psd() -> None:
    records: dict[str, str | list[str]] = {"a.example.com": "v=DMARC1; p=none", "com": "v=DMARC1; psd=y"}
    assert walked("a.example.com", published(records)).queries == ("a.example.com",)
    found = walked("b.a.example.com", published({"a.example.com": "v=DMARC1; p=none; psd=n"}))
    assert found.queries == ("b.a.example.com", "a.example.com")


def test_several_records_at_a_name_are_none_and_the_walk_goes_on() -> None:
    records = ["v=DMARC1; p=none", "v=DMARC1; p=reject"]
    zone = published({"a.example.com": records, "example.com": "v=DMARC1; p=quarantine"})
    found = walked("a.example.com", zone)
    assert (found.found_at, found.policy, found.several_at) == ("example.com", "quarantine", ("a.example.com",))
    # RFC 7489 section 6.6.3 step 5 ends there.
    assert listed("a.example.com", zone).status is Status.NONE


@pytest.mark.parametrize(
    ("tags", "exists", "tag", "policy"),
    [
        ("p=reject; sp=none; np=quarantine", NODATA, "sp", "none"),
        ("p=reject; sp=none; np=quarantine", None, "np", "quarantine"),
        ("p=reject; sp=none", None, "sp", "none"),
        ("p=reject", None, "p", "reject"),
        ("p=reject", "v=spf1 -all", "p", "reject"),
        ("sp=maybe; rua=mailto:a@example.com", None, "p", "none"),
    ],
)
def test_subdomain_has_np_when_it_does_not_exist(tags: str, exists: str | None, tag: str, policy: str) -> None:
    names: dict[str, str | list[str]] = {"_dmarc.example.com": f"v=DMARC1; {tags}"}
    if exists is not None:
        names["sub.example.com"] = exists
    found = walked("sub.example.com", Zone(names))
    assert (found.tag, found.policy) == (tag, policy)


def test_invalid_policy_without_rua_is_no_dmarc() -> None:
    found = walked("example.com", published({"example.com": "v=DMARC1; p=maybe"}))
    assert (found.status, found.found_at, found.policy, found.tag) == (Status.NONE, "example.com", None, None)


@pytest.mark.parametrize("name", ["_dmarc.a.example.com", "_dmarc.example.com", "a.example.com"])
def test_temporary_error_is_not_no_record(name: str) -> None:
    zone = Zone({"_dmarc.example.com": "v=DMARC1; p=none", name: TEMPERROR})
    assert walked("a.example.com", zone).status is Status.TEMPERROR


def test_temporary_error_above_the_own_record_leaves_the_organizational_domain_unknown() -> None:
    found = walked("example.com", published({"example.com": "v=DMARC1; p=none", "com": TEMPERROR}))
    assert (found.status, found.organizational_domain) == (Status.FOUND, None)
    assert compare(Domain("example.com"), published({"example.com": "v=DMARC1; p=none", "com": TEMPERROR}),
                   ORGANIZATIONAL).differences == ()  # fmt: skip


def test_suffix_list_asks_the_domain_then_its_organizational_domain() -> None:
    found = listed("a.b.example.co.uk", published({"example.co.uk": "v=DMARC1; p=reject; sp=quarantine; np=none"}))
    assert found.queries == ("a.b.example.co.uk", "example.co.uk")
    assert (found.found_at, found.tag, found.policy) == ("example.co.uk", "sp", "quarantine")
    assert listed("example.co.uk", Zone({})).queries == ("example.co.uk",)
    assert listed("a.example.com", published({"example.com": TEMPERROR})).status is Status.TEMPERROR


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("v=DMARC1; rua=mailto:a@example.com", "none"),
        ("v=DMARC1; sp=reject", None),
        ("v=DMARC1; p=reject; np=maybe", "reject"),
        ("v=DMARC1; p=reject; sp=maybe", None),
    ],
)
def test_suffix_list_reads_records_as_rfc_7489_does(text: str, policy: str | None) -> None:
    found = listed("example.com", published({"example.com": text}))
    assert found.policy == policy
    assert found.status is (Status.FOUND if policy else Status.NONE)


def differences(domain: str, zone: Zone) -> list[DifferenceKind]:
    comparison = compare(Domain(domain), zone, ORGANIZATIONAL)
    assert all(x.section.startswith("RFC 9989 section ") for x in comparison.differences)
    return [x.kind for x in comparison.differences]


def test_methods_agree_on_a_usual_domain() -> None:
    zone = Zone({"_dmarc.example.com": "v=DMARC1; p=reject", "a.example.com": NODATA})
    assert differences("a.example.com", zone) == []
    assert differences("example.com", zone) == []


def test_differences_are_explained() -> None:
    kinds = DifferenceKind
    no_np = Zone({"_dmarc.example.com": "v=DMARC1; p=none; np=reject"})
    assert differences("a.example.com", no_np) == [kinds.POLICY]
    above = published({"com": "v=DMARC1; p=none", "example.com": "v=DMARC1; p=none"})
    assert differences("example.com", above) == [kinds.ORGANIZATIONAL_DOMAIN, kinds.ABOVE_ORGANIZATIONAL]
    between = published({"b.example.com": "v=DMARC1; p=reject"})
    assert differences("a.b.example.com", between) == [kinds.ORGANIZATIONAL_DOMAIN, kinds.RECORD]
    several = published({"a.example.com": ["v=DMARC1; p=none"] * 2, "example.com": "v=DMARC1; p=none"})
    assert differences("a.example.com", several) == [kinds.RECORD, kinds.SEVERAL_RECORDS]
    deep = published({"example.com": "v=DMARC1; p=none"})
    assert differences("a.b.c.d.e.f.g.example.com", deep) == [kinds.DEEP_DOMAIN]
    assert differences("b.c.d.e.f.g.example.com", deep) == []
    alone = published({"a.example.com": "v=DMARC1; p=none"})
    assert differences("a.example.com", alone) == [kinds.ORGANIZATIONAL_DOMAIN, kinds.NO_RECORD_ABOVE]
    on_purpose = published({"a.example.com": "v=DMARC1; p=none; psd=n"})
    assert differences("a.example.com", on_purpose) == [kinds.ORGANIZATIONAL_DOMAIN]
    assert differences("example.com", published({"example.com": TEMPERROR})) == [kinds.TEMPERROR]


def test_comparison_asks_each_name_once_and_prints() -> None:
    zone = Zone({"_dmarc.example.com": "v=DMARC1; p=none; np=reject"})
    printed = compare(Domain("a.example.com"), zone, ORGANIZATIONAL).as_json()
    assert len(zone.asked) == len(set(zone.asked))
    assert printed["treewalk"] == {
        "method": "treewalk",
        "domain": "a.example.com",
        "status": "found",
        "queries": ["a.example.com", "example.com", "com"],
        "record": "v=DMARC1; p=none; np=reject",
        "found_at": "example.com",
        "tag": "np",
        "policy": "reject",
        "organizational_domain": "example.com",
    }
    assert (printed["psl"]["policy"], printed["psl"]["queries"]) == ("none", ["a.example.com", "example.com"])
    assert [x["kind"] for x in printed["differences"]] == ["policy"]
    assert compare(Domain("x.example"), Zone({}), ORGANIZATIONAL).as_json()["treewalk"]["record"] is None
