"""Each signer in a folder of its own, with a reload command of ours, for the suites that all of them must pass."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmarcops.ports import Signer
from dmarcops.signers import command, exim, kumomta, opendkim, powermta, rspamd

RELOAD = """\
echo "$0 $*" >> "$(dirname "$0")/reloads"
if [ -e "$(dirname "$0")/kill" ]; then rm "$(dirname "$0")/kill"; kill -9 "$PPID"; fi
if [ -e "$(dirname "$0")/broken" ]; then cat "$(dirname "$0")/broken" >&2; exit 3; fi
"""

PROGRAM = """\
import os, pathlib, sys
folder = pathlib.Path(__file__).parent
action, domain, *rest = sys.argv[1:]
assert os.environ["DMARCOPS_ACTION"] == action
assert os.environ["DMARCOPS_DOMAIN"] == domain
assert "AWS_SECRET_ACCESS_KEY" not in os.environ
if action == "current":
    line = folder / "mta" / f"{domain}-{rest[0]}"
    print(line.read_text() if line.exists() else "")
elif action == "use":
    selector, algorithm, key_file = rest
    assert "PRIVATE KEY" in pathlib.Path(key_file).read_text()
    (folder / "mta" / f"{domain}-{algorithm}").write_text(selector)
    with (folder / "reloads").open("a") as file:
        file.write(f"{selector}\\n")
    if (folder / "broken").exists():
        sys.exit((folder / "broken").read_text())
"""


@dataclass
class Place:
    """Where a signer works: its folder, with its configuration, keys, and the record of its reloads."""

    folder: Path
    build: Callable[..., Signer]
    options: dict[str, Any] = field(default_factory=dict)

    def signer(self, **options: Any) -> Signer:  # noqa: ANN401 - any setting
        """Make the adapter, as a new run would."""
        return self.build(self.folder, **{**self.options, **options})

    @property
    def config(self) -> Path:
        """The file whose line names the selector."""
        return self.folder / "config"

    @property
    def reloads(self) -> int:
        """How often the MTA was told."""
        record = self.folder / "reloads"
        return len(record.read_text().splitlines()) if record.exists() else 0

    def break_reload(self, complaint: str = "no such option") -> None:
        """Let each reload from now on fail."""
        (self.folder / "broken").write_text(complaint)

    def mend_reload(self) -> None:
        """Let reloads work again."""
        (self.folder / "broken").unlink()

    def leftovers(self) -> list[str]:
        """Give what was left beside configuration and keys, other than locks."""
        return sorted(path.name for path in self.folder.rglob(".*") if not path.name.endswith(".lock"))


@dataclass(frozen=True)
class FileCase:
    """A signer with configuration files, and what stands in them."""

    name: str
    build: Callable[..., Signer]
    foreign: bytes
    """Lines of others, which mean something to the MTA."""
    outside: bytes
    """A definition of example.com that is not ours."""
    line: str
    """Our line; `{keys}` is the directory of the keys."""
    algorithms: frozenset[str] = frozenset({"rsa"})


def _settings(folder: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - any setting
    (folder / "reload.sh").write_text(RELOAD)
    reload = ("sh", str(folder / "reload.sh"))
    return {"key_dir": folder / "keys", "reload": reload, "check": (), "timeout": "20s", **options}


def powermta_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for PowerMTA."""
    return powermta.Adapter("pmta", powermta.Config(config=folder / "config", **_settings(folder, **options)))


def opendkim_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for OpenDKIM."""
    # Above the folders of tests is one that all can write to
    unsafe = {"require_safe_keys": False, **options}
    settings = {"signing_table": folder / "signing-table", **_settings(folder, **unsafe)}
    return opendkim.Adapter("milter", opendkim.Config(key_table=folder / "config", **settings))


def rspamd_map_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for a map of rspamd."""
    return rspamd.Adapter("rspamd", rspamd.Config(config=folder / "config", **_settings(folder, **options)))


def rspamd_config_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for a part of rspamd's configuration."""
    settings = {"form": "config", **_settings(folder, **options)}
    return rspamd.Adapter("rspamd", rspamd.Config(config=folder / "config", **settings))


def kumomta_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for KumoMTA."""
    return kumomta.Adapter("kumo", kumomta.Config(config=folder / "config", **_settings(folder, **options)))


def exim_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for Exim."""
    return exim.Adapter("exim", exim.Config(config=folder / "config", **_settings(folder, **options)))


def command_in(folder: Path, **options: Any) -> Signer:  # noqa: ANN401 - any setting
    """Make the adapter for a program of the user's own."""
    (folder / "program.py").write_text(PROGRAM)
    (folder / "mta").mkdir(exist_ok=True)
    words = (sys.executable, "-S", str(folder / "program.py"))
    settings = {"command": words, "algorithms": ("rsa", "ed25519"), "timeout": "20s", **options}
    return command.Adapter("own", command.Config(key_dir=folder / "keys", **settings))


BOTH = frozenset({"rsa", "ed25519"})

FILE_CASES = [
    FileCase(
        "powermta",
        powermta_in,
        b"# keys of the old days\ndomain-key dkim,example.org, /etc/pmta/example.org.pem\n\n"
        b"<domain *>\n\tdkim-sign yes\n</domain>\n",
        b"  Domain-Key old , Example.COM, /etc/pmta/old.pem\n",
        "domain-key {selector},example.com,{keys}/example.com/{selector}.key",
    ),
    FileCase(
        "opendkim",
        opendkim_in,
        b"# table\nold._domainkey.example.org example.org:old:/etc/opendkim/old.private  # keep\n",
        b"old._domainkey.example.com example.com:old:/etc/opendkim/old.private\n",
        "dmarcops.example.com example.com:{selector}:{keys}/example.com/{selector}.key",
    ),
    FileCase(
        "rspamd-map",
        rspamd_map_in,
        b"# domain selector\nexample.org old\n",
        b"example.com old # by hand\n",
        "example.com {selector}",
    ),
    FileCase(
        "rspamd-config",
        rspamd_config_in,
        b'# by hand\n"example.org" {\n  path = "/etc/rspamd/old.key";\n  selector = "old";\n}\n',
        b'example.com {\n  path = "/etc/rspamd/old.key";\n  selector = "old";\n}\n',
        '"example.com" {{ selectors [ {{ selector = "{selector}"; path = "{keys}/example.com/{selector}.key"; }} ] }}',
        BOTH,
    ),
    FileCase(
        "kumomta",
        kumomta_in,
        b'[base]\nadditional_signatures = [] # none\n\n[domain."example.org"]\nselector = "old"\n',
        b"[domain.'example.com']\nselector = 'old'\n",
        'domain."example.com" = {{ selector = "{selector}", algo = "sha256",'
        ' filename = "{keys}/example.com/{selector}.key" }}',
    ),
    FileCase(
        "exim",
        exim_in,
        b"# selectors\nexample.org: old\n",
        b'"example.com" old\n',
        "example.com: {selector}",
        BOTH,
    ),
]
