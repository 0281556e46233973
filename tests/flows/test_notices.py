"""What a person is told, by the facts."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from dmarcops.flows.notices import Facts, Notice, due, first_day, harmless, judge, message, of_concerns
from dmarcops.settings import NoticeSettings
from dmarcops.store.concerns import Concern, Remembered
from dmarcops.store.notices import Told
from dmarcops.store.recent import PayloadCount, ReporterDays
from dmarcops.store.runs import SourceRun

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
THRESHOLDS = NoticeSettings(
    failing_runs=3, silent_after=3 * DAY, rejected_rate=0.2, rejected_min=20, repeat_after=timedelta(days=1)
)
WELL = SourceRun("rua", last_ok_at=NOW)
FAILING = SourceRun("rua", last_ok_at=NOW - DAY, last_error_at=NOW, last_error="login refused", failures_in_a_row=3)


def facts(
    *,
    runs: Sequence[SourceRun] = (WELL,),
    reporters: Sequence[ReporterDays] = (),
    payloads: Sequence[PayloadCount] = (),
) -> Facts:
    return Facts(runs={run.source: run for run in runs}, reporters=reporters, payloads=payloads)


def days(last: date, count: int = 10, *, step: int = 1) -> tuple[date, ...]:
    return tuple(sorted(last - timedelta(days=n * step) for n in range(count)))


def reporter(last: date, count: int = 10, *, name: str = "google.com", step: int = 1) -> ReporterDays:
    return ReporterDays(name, "example.com", days(last, count, step=step))


def wrong(given: Facts) -> list[str]:
    return [notice.title for notice in judge(given, THRESHOLDS, NOW) if not notice.is_over]


def over(given: Facts) -> list[str]:
    return [notice.title for notice in judge(given, THRESHOLDS, NOW) if notice.is_over]


def test_mailbox_is_told_of_when_it_failed_often_enough() -> None:
    [notice] = judge(facts(runs=[FAILING]), THRESHOLDS, NOW)
    assert notice == Notice(
        "failing-mailbox rua",
        "mailbox rua fails",
        "3 runs in a row failed, the last time 2026-01-20 12:00 UTC: login refused."
        " It last went well: 2026-01-19 12:00 UTC. `dmarcops doctor` says what to mend.",
    )
    never = SourceRun("rua", last_error_at=NOW, last_error=None, failures_in_a_row=4)
    assert "It last went well: never." in judge(facts(runs=[never]), THRESHOLDS, NOW)[0].text


def test_mailbox_is_well_when_its_last_run_went_well() -> None:
    assert over(facts()) == ["mailbox rua works again"]


@pytest.mark.parametrize("run", [SourceRun("rua"), SourceRun("rua", last_ok_at=NOW, failures_in_a_row=2)])
def test_mailbox_is_neither_when_too_little_is_known(run: SourceRun) -> None:
    assert judge(facts(runs=[run]), THRESHOLDS, NOW) == ()


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        # The report of the 14th came on the 15th; three days from the end of that day are over on the 19th.
        (reporter(date(2026, 1, 14)), ["no reports from google.com about example.com"]),
        (reporter(date(2026, 1, 15)), ["no reports from google.com about example.com"]),
        (reporter(date(2026, 1, 16)), []),
        (reporter(date(2026, 1, 14), 7), ["no reports from google.com about example.com"]),
        (reporter(date(2026, 1, 14), 6), []),
        (reporter(date(2026, 1, 14), 30, step=2), []),
        (reporter(date(2025, 12, 18)), ["no reports from google.com about example.com"]),
        (reporter(date(2025, 12, 17)), []),
    ],
)
def test_reporter_is_missed_when_it_used_to_send_daily(silent: ReporterDays, expected: list[str]) -> None:
    assert wrong(facts(reporters=[silent])) == expected


def test_days_of_a_missed_reporter_are_all_asked_for() -> None:
    assert first_day(THRESHOLDS, NOW) == days(date(2025, 12, 18), 11)[0]


def test_reporter_is_well_when_it_sends() -> None:
    assert "google.com reports about example.com again" in over(facts(reporters=[reporter(date(2026, 1, 18), 1)]))


def test_notice_of_a_silent_reporter_has_its_days_and_rate() -> None:
    [text] = [one.text for one in judge(facts(reporters=[reporter(date(2026, 1, 14), 8)]), THRESHOLDS, NOW)[1:]]
    assert text.startswith("Its last report is of 2026-01-14; before, it reported on 8 of 10 days. ")


@pytest.mark.parametrize(
    ("runs", "others", "context"),
    [
        ([WELL], 0, "Nobody else reports about example.com any more either: see whether the rua address"),
        ([WELL], 1, "One other reporter still reports about example.com, so the intake works."),
        ([WELL], 2, "2 other reporters still report about example.com, so the intake works."),
        ([FAILING], 2, "The reports may be waiting in a mailbox that fails: rua."),
    ],
)
def test_quiet_week_is_told_apart_from_breakage(runs: list[SourceRun], others: int, context: str) -> None:
    alive = [reporter(date(2026, 1, 19), name=f"other{number}") for number in range(others)]
    given = facts(runs=runs, reporters=[reporter(date(2026, 1, 14)), *alive])
    [text] = [one.text for one in judge(given, THRESHOLDS, NOW) if one.key.startswith("silent") and not one.is_over]
    assert context in text


@pytest.mark.parametrize("behind", [SourceRun("b"), SourceRun("b", last_ok_at=NOW - 4 * DAY)])
def test_nobody_is_missed_before_all_mailboxes_were_read(behind: SourceRun) -> None:
    assert wrong(facts(runs=[WELL, behind], reporters=[reporter(date(2026, 1, 14))])) == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"stored": 15, "corrupt": 3, "unsupported": 1, "retry": 1, "not-a-report": 900}, True),
        ({"stored": 16, "corrupt": 4, "not-a-report": 900}, False),
        ({"corrupt": 19}, None),
        ({"stored": 1}, False),
        ({"not-a-report": 900}, None),
    ],
)
def test_rejected_reports_are_told_of_above_a_rate(counts: dict[str, int], expected: bool | None) -> None:  # noqa: FBT001
    payloads = [PayloadCount(outcome, "a-code", count) for outcome, count in counts.items()]
    judged = judge(facts(runs=[], payloads=payloads), THRESHOLDS, NOW)
    assert [not notice.is_over for notice in judged] == ([] if expected is None else [expected])
    if expected:
        assert judged[0].text == (
            "5 of 20 reports of the last day could not be stored:"
            " 3 corrupt (a-code), 1 unsupported (a-code), 1 retry (a-code). `dmarcops ledger` lists them."
        )


FAILS = Notice("k", "fails", "it fails")
WORKS = Notice("k", "works", "it works", is_over=True)


@pytest.mark.parametrize(
    ("judged", "told", "expected"),
    [
        (FAILS, {}, ["fails"]),
        (FAILS, {"k": Told(NOW - DAY, still_open=True)}, ["fails"]),
        (FAILS, {"k": Told(NOW - DAY / 2, still_open=True)}, []),
        (FAILS, {"k": Told(NOW - DAY / 2, still_open=False)}, []),
        (FAILS, {"k": Told(NOW - DAY, still_open=False)}, ["fails"]),
        (WORKS, {}, []),
        (WORKS, {"k": Told(NOW, still_open=True)}, ["works"]),
        (WORKS, {"k": Told(NOW, still_open=False)}, []),
    ],
)
def test_same_is_told_once_and_again_after_a_while(judged: Notice, told: dict[str, Told], expected: list[str]) -> None:
    news = due([judged], told, DAY, NOW)
    assert [notice.title for notice in news.notices] == expected
    assert [*news.opened, *news.closed] == ["k"] * len(expected)
    assert bool(news.closed) == (judged.is_over and bool(expected))


def test_message_tells_of_one_or_of_many() -> None:
    assert message([FAILS]) == ("dmarcops: fails", "it fails")
    assert message([FAILS, WORKS]) == ("dmarcops: fails, and 1 more", "fails\nit fails\n\nworks\nit works")
    title, text = message([FAILS] * 25)
    assert title == "dmarcops: fails, and 24 more"
    assert text.endswith("\n\nAnd 5 more.")
    assert text.count("it fails") == 20


def test_foreign_text_cannot_act() -> None:
    assert harmless("google.com") == "google.com"
    assert harmless("@everyone <!channel>\n\x1b[2J\u202eevil\u200b") == "(at)everyone (!channel)??[2J?evil?"
    assert harmless("x" * 1000) == "x" * 200 + "..."
    hostile = ReporterDays("@here\n\n<script>", "ex\x00ample", days(date(2026, 1, 14)))
    run = SourceRun("rua", NOW, NOW, "<b>\x07", 3)
    for notice in judge(facts(runs=[run], reporters=[hostile]), THRESHOLDS, NOW):
        assert not set(notice.title + notice.text) & set("@<>\n\x00\x07")


SINCE = NOW - 3 * HOUR


def remembered(*, runs: int = 1, ended: bool = False, transient: bool = False, event: bool = False) -> Remembered:
    concern = Concern(
        subject="dkim",
        domain="example.com",
        kind="stuck",
        selector="s1",
        title="the key s1\n of example.com is stuck",
        text="<@all>" + 2000 * "x",
        is_transient=transient,
        is_event=event,
    )
    return Remembered(concern=concern, since=SINCE, runs=runs, ended_at=NOW if ended else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (remembered(), "the key s1? of example.com is stuck"),
        (remembered(ended=True), "over: the key s1? of example.com is stuck"),
        (remembered(transient=True, runs=2), None),
        (remembered(transient=True, runs=3), "the key s1? of example.com is stuck"),
        (remembered(event=True, ended=True), "the key s1? of example.com is stuck"),
    ],
)
def test_concerns_are_told_of_when_they_do_not_pass_by_themselves(given: Remembered, expected: str | None) -> None:
    told = list(of_concerns([given], failing_runs=3))
    assert [notice.title for notice in told] == ([] if expected is None else [expected])
    for notice in told:
        assert (notice.is_over, notice.is_event) == (str(expected).startswith("over"), given.concern.is_event)
        lasted = "It lasted from 2026-01-20 09:00 UTC to 2026-01-20 12:00 UTC."
        assert notice.text == (lasted if notice.is_over else "((at)all)" + 994 * "x" + "...")


def test_an_event_is_told_once_and_is_settled_then() -> None:
    event = Notice("k", "happened", "it happened", is_event=True)
    assert due([event], {}, DAY, NOW) == ((event,), ("k",), ("k",))
    assert due([event], {"k": Told(NOW - 9 * DAY, still_open=False)}, DAY, NOW).notices == ()
