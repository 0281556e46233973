"""The PDF form: nothing cut, nothing lost, one page for management, the same octets each time."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import missing
from dmarcops.errors import ConfigError
from dmarcops.neutralise import defused, visible
from dmarcops.render.pdf import pdf
from dmarcops.render.report import as_pdf
from render.cases import CASES, HOSTILE, fleet, many, usual, world

PAGES = [*CASES, "fleet"]
A4 = (595.28, 841.89)
MARGIN = 50
"""Points of the margin at the left and right, a little less than the page has."""


@pytest.fixture(scope="module", autouse=True)
def _poppler() -> None:
    if shutil.which("pdftotext") is None:
        missing("pdftotext is not installed (Debian: apt-get install poppler-utils)")
    families = subprocess.run(["fc-list", ":", "family"], check=True, capture_output=True, text=True).stdout
    if "Noto Sans CJK" not in families or "Noto Sans Arabic" not in families:
        missing("fonts are not installed (Debian: apt-get install fonts-noto-core fonts-noto-cjk)")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the file of a case, made once."""
    folder = tmp_path_factory.mktemp("pdf")

    @cache
    def made(case: str) -> Path:
        path = folder / f"{case}.pdf"
        path.write_bytes(as_pdf(fleet() if case == "fleet" else CASES[case]()))
        return path

    return made


def told(command: str, *arguments: str | Path) -> str:
    return subprocess.run([command, *arguments], check=True, capture_output=True, text=True).stdout


def dense(text: str) -> str:
    """Give a text without white space, as lines are broken where there is room."""
    return "".join(text.split())


Printed = Callable[[str], Path]


@pytest.mark.parametrize("case", PAGES)
def test_nothing_stands_outside_of_the_page(printed: Printed, case: str) -> None:
    boxes = told("pdftotext", "-bbox", printed(case), "-")
    sizes = set(re.findall(r'<page width="([0-9.]+)" height="([0-9.]+)"', boxes))
    assert {(round(float(width), 2), round(float(height), 2)) for width, height in sizes} == {A4}
    words = re.findall(r'<word xMin="([-0-9.]+)" yMin="([-0-9.]+)" xMax="([-0-9.]+)" yMax="([-0-9.]+)">', boxes)
    assert len(words) > 100
    for x_min, y_min, x_max, y_max in (map(float, word) for word in words):
        assert MARGIN < x_min < x_max < A4[0] - MARGIN
        assert 30 < y_min < y_max < A4[1] - 15


@pytest.mark.parametrize("case", PAGES)
def test_first_page_is_the_whole_page_for_management(printed: Printed, case: str) -> None:
    first = told("pdftotext", "-l", "1", printed(case), "-")
    second = told("pdftotext", "-f", "2", "-l", "2", printed(case), "-")
    beginning = "Brands" if case == "fleet" else "The record"
    assert f"\n{beginning}\n" in f"\n{second}"
    assert first.split() != []
    assert beginning not in first.splitlines()
    if case in ("usual", "ready", "blocked", "crowded"):
        assert "Who signs" in first
        assert "Who signs" not in second


@pytest.mark.parametrize("case", PAGES)
def test_pages_are_numbered_and_named(printed: Printed, case: str) -> None:
    information = told("pdfinfo", printed(case))
    count = int(re.findall(r"Pages: +([0-9]+)", information)[0])
    assert re.search(r"Title: +\S", information)
    assert "Tagged:          yes" in information
    assert "JavaScript:      no" in information
    for page in range(1, count + 1):
        text = told("pdftotext", "-f", str(page), "-l", str(page), printed(case), "-")
        assert f"{page}/{count}" in dense(text)
        assert page == 1 or "·" in text or case in ("fleet", "hostile")


def test_all_sources_are_printed(printed: Printed) -> None:
    for case, made in (("many", many()), ("world", world())):
        text = dense(told("pdftotext", printed(case), "-"))
        for source in made.evidence.sources:
            if not re.search("[\u0590-\u06ff]", source.name):
                assert dense(source.name) in text


def test_names_from_right_to_left_are_printed(printed: Printed) -> None:
    """Poppler gives them letter by letter in the order of writing, perhaps in other forms: counted, not compared."""
    text = told("pdftotext", printed("world"), "-")
    for name in ("שירות", "דואר", "ישראלי"):
        assert name in text
    assert len(re.findall("[\u0600-\u06ff\ufe70-\ufeff]", text)) >= 10


def test_every_letter_has_a_glyph(printed: Printed) -> None:
    """A letter that no font has is printed as an empty box, which poppler reads as nothing or as U+FFFD."""
    text = told("pdftotext", printed("world"), "-")
    assert "\ufffd" not in text
    for name in ("株式会社メール配信", "메일서비스", "邮件服务有限公司", "Почта", "Ταχυδρομείο", "例子.测试"):
        assert name in text
    fonts = told("pdffonts", printed("world"))
    assert "Noto-Sans-CJK" in fonts
    assert "Noto-Sans-Arabic" in fonts or "DejaVu" in fonts


def test_table_has_its_head_on_each_page(printed: Printed) -> None:
    text = told("pdftotext", "-layout", printed("many"), "-")
    pages = text.split("\f")
    sources = [page for page in pages if re.search(r"^sender-[0-9]+\.example", page, re.MULTILINE)]
    assert len(sources) > 4
    for page in sources:
        head = re.search(r"^Source ", page, re.MULTILINE)
        first = re.search(r"^sender-[0-9]+\.example", page, re.MULTILINE)
        assert head is not None
        assert first is not None
        assert head.start() < first.start()


def test_hostile_text_is_printed_as_it_is_read(printed: Printed) -> None:
    text = dense(told("pdftotext", printed("hostile"), "-"))
    for each in HOSTILE:
        assert dense(visible(defused(each))) in text


def test_digest_is_at_the_foot_of_each_page(printed: Printed) -> None:
    statement = usual().proposal.statement
    assert statement is not None
    for page in told("pdftotext", printed("usual"), "-").split("\f")[:-1]:
        assert f"Digest {statement.digest[:16]}" in page


def test_long_remark_goes_on_over_pages() -> None:
    words = [f"word{at:04}" for at in range(1500)]
    made = as_pdf(replace(usual(), remarks=(" ".join(words),)))
    done = subprocess.run(["pdftotext", "-", "-"], check=True, capture_output=True, input=made)
    assert set(words) <= set(done.stdout.decode().split())


_AGAIN = """
import sys
from hashlib import sha256
from dmarcops.render.report import as_html, as_json, as_markdown, as_pdf
from render.cases import CASES, fleet
for made in (CASES["world"](), fleet()):
    for form in (as_html(made), as_markdown(made), as_json(made)):
        print(sha256(form.encode()).hexdigest())
    print(sha256(as_pdf(made)).hexdigest())
"""


def test_two_processes_at_two_times_give_the_same_octets() -> None:
    """Nor does the order of sets, the time, the zone or the language of the machine matter."""
    said = []
    for seed, zone, language in (("1", "UTC", "C.UTF-8"), ("2", "Asia/Tokyo", "de_DE.UTF-8")):
        paths = os.pathsep.join(str(path) for path in sys.path if path)
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": language, "PYTHONPATH": paths}
        environment.pop("SOURCE_DATE_EPOCH", None)
        done = subprocess.run(
            [sys.executable, "-c", _AGAIN], check=True, capture_output=True, text=True, env=environment
        )
        said.append(done.stdout.split())
    assert len(set(said[0])) == 8
    assert said[0] == said[1]
    assert said[0][3] == sha256(as_pdf(world())).hexdigest()


def test_no_time_is_in_the_file(printed: Printed) -> None:
    information = told("pdfinfo", printed("usual"))
    assert "CreationDate" not in information
    assert "ModDate" not in information


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """Not from the network, and no file of the machine."""
    secret = tmp_path / "secret.svg"
    secret.write_text("<svg xmlns='http://www.w3.org/2000/svg' width='90' height='20'><text y='9'>secret</text></svg>")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
        made = pdf(f"<link rel=stylesheet href={place}/x.css><img src={place}/x.png><img src={secret.as_uri()}>shown")
        with pytest.raises(TimeoutError):
            server.accept()
    done = subprocess.run(["pdftotext", "-", "-"], check=True, capture_output=True, input=made)
    assert done.stdout.decode().split() == ["shown"]


def test_absent_weasyprint_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        as_pdf(usual())
    assert caught.value.hint == "pip install 'dmarcops[pdf]'"


def test_absent_libraries_are_told_with_what_to_install(tmp_path: Path) -> None:
    """A package that raises what WeasyPrint does where the loader finds no Pango."""
    package = tmp_path / "weasyprint"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError(\"cannot load library 'libpango-1.0-0'\")\n")
    code = (
        "from dmarcops.errors import EdgeError\n"
        "from dmarcops.render.pdf import pdf\n"
        "try:\n    pdf('x')\nexcept EdgeError as error:\n    print(error, error.hint, sep='|')\n"
    )
    paths = os.pathsep.join([str(tmp_path), *(str(path) for path in sys.path if path)])
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    message, hint = done.stdout.strip().split("|")
    assert message == "WeasyPrint does not find a library of the system: cannot load library 'libpango-1.0-0'"
    assert "apt-get install libpangoft2-1.0-0" in hint
