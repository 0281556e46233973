"""PowerMTA: the grammar of its domain-key lines, as documented; there is no server to be had for tests."""

from pathlib import Path

import pytest

from dmarcops.errors import ConfigError, UnsafeChangeError
from dmarcops.report.model import Domain
from signer_cases import powermta_in
from signing_keys import DOMAIN, signing_key

A = signing_key("s2026a")


@pytest.mark.parametrize(
    "line",
    [
        "domain-key key1,example.com,c:\\pmta\\m.pem",
        "domain-key cast,example.com, /etc/pmta/dkim/cast.example.com.pem",
        "\tDOMAIN-KEY\tdkim , EXAMPLE.COM , /home/x/dkim.pem",
        "domain-key dkim,*,/home/pmta/conf/mail/x/dkim.pem",
        'domain-key default,"example.com",/x',
        "<virtual-mta vmta1>\n    domain-key default,example.com,/etc/pmta/default.private\n</virtual-mta>",
    ],
)
@pytest.mark.parametrize("name", ["config", "other"])
def test_refuses_when_the_key_is_defined_elsewhere(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / name).write_text(f"# main\n{line}\n")
    signer = powermta_in(tmp_path, others=(tmp_path / "other",))
    with pytest.raises(UnsafeChangeError, match=f"{name}, line [23], defines the domain-key of example.com"):
        signer.use(A)
    assert (tmp_path / name).read_text() == f"# main\n{line}\n"


def test_leaves_lines_that_are_none_of_the_domain(tmp_path: Path) -> None:
    text = (
        "# domain-key old,example.com,/x\n#domain-key old,example.com,/x\ndomain-key a,news.example.com,/x\n"
        "domain-key default,/path\ndomain-keys b,example.com,/x\ndkim-identity @example.com\n"
    )
    (tmp_path / "config").write_text(text)
    powermta_in(tmp_path).use(A)
    path = tmp_path / "keys" / DOMAIN / "s2026a.key"
    ours = f"# BEGIN dmarcops\ndomain-key s2026a,example.com,{path}\n# END dmarcops\n"
    assert (tmp_path / "config").read_text() == text + ours


def test_adopts_a_line_that_was_moved_into_the_block(tmp_path: Path) -> None:
    text = "<virtual-mta a>\n  # BEGIN dmarcops\n  domain-key old,example.com,/x\n  # END dmarcops\n</virtual-mta>\n"
    (tmp_path / "config").write_text(text)
    signer = powermta_in(tmp_path)
    assert signer.current(DOMAIN, "rsa") == "old"
    assert signer.current(Domain("example.org"), "rsa") is None
    signer.use(A)
    line = f"domain-key s2026a,example.com,{tmp_path}/keys/{DOMAIN}/s2026a.key"
    assert (tmp_path / "config").read_text() == text.replace("  domain-key old,example.com,/x", line)


def test_takes_no_ed25519(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not sign with ed25519"):
        powermta_in(tmp_path).use(signing_key("e2026a", "ed25519"))
