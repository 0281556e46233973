"""KumoMTA: the TOML of its dkim_sign, as documented; there is no server to be had for tests."""

import tomllib
from pathlib import Path

import pytest

from dmarcops.errors import SignerError, UnsafeChangeError
from dmarcops.report.model import Domain
from signer_cases import kumomta_in
from signing_keys import DOMAIN, signing_key

A, E = signing_key("s2026a"), signing_key("e2026a", "ed25519")

BASE = """\
[base]
additional_signatures = ["esp"]
headers = ["From", "To"]

[domain."example.org"]
selector = "old"
algo = "sha256"
filename = "/opt/kumomta/etc/dkim/example.org/old.key"

[signature."esp"]
policy = "Always"
domain = "esp.example"
"""


def test_means_the_section_that_is_documented(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(BASE)
    kumomta_in(tmp_path).use(A)
    kumomta_in(tmp_path).use(signing_key("x1", domain="example.net"))
    found = tomllib.loads((tmp_path / "config").read_text())
    expected = tomllib.loads(BASE)
    for domain, selector in ((DOMAIN, "s2026a"), ("example.net", "x1")):
        path = str(tmp_path / "keys" / domain / f"{selector}.key")
        expected["domain"][domain] = {"selector": selector, "algo": "sha256", "filename": path}
    assert found == expected


def test_signs_with_ed25519_when_it_is_told(tmp_path: Path) -> None:
    signer = kumomta_in(tmp_path, algorithm="ed25519", reload=())
    signer.use(E)
    assert tomllib.loads((tmp_path / "config").read_text())["domain"][DOMAIN]["algo"] == "ed25519"
    assert signer.current(DOMAIN, "ed25519") == "e2026a"
    assert signer.current(DOMAIN, "rsa") is None


@pytest.mark.parametrize(
    "text",
    [
        '[domain."example.com"]\nselector = "a"\n',
        "domain.'EXAMPLE.com'.selector = 'a'\n",
        '[domain]\n"example.com" = {}\n',
    ],
)
def test_refuses_when_another_file_has_the_domain(tmp_path: Path, text: str) -> None:
    (tmp_path / "other").write_text(text)
    with pytest.raises(UnsafeChangeError, match=r"other has a section of example\.com"):
        kumomta_in(tmp_path, others=(tmp_path / "other",)).use(A)
    assert not (tmp_path / "config").exists()


def test_refuses_a_block_that_is_part_of_a_section(tmp_path: Path) -> None:
    text = BASE + "# BEGIN dmarcops\n# END dmarcops\n"
    (tmp_path / "config").write_text(text)
    with pytest.raises(UnsafeChangeError, match="below a section"):
        kumomta_in(tmp_path).use(A)
    assert (tmp_path / "config").read_text() == text


def test_says_so_when_the_file_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("domain = [\n")
    with pytest.raises(SignerError, match="not valid TOML"):
        kumomta_in(tmp_path).use(A)
    for text in ("domain = 3\n", "domain.'example.com' = 3\n", "domain.'example.com'.selector = 3\n"):
        (tmp_path / "config").write_text(text)
        assert kumomta_in(tmp_path).current(Domain("example.com"), "rsa") is None
