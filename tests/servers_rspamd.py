"""rspamd as a signing milter on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import free_port, missing
from dmarcops.signers import rspamd

CONFIGURATION = """
options {{
  pidfile = "{folder}/pid";
  tempdir = "{folder}/tmp";
  filters = "dkim";
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
  map_watch_interval = 1s;
  map_file_watch_multiplier = 0.2;
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
}}
logging {{ type = "file"; filename = "{folder}/log"; level = "info"; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 20s; count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
actions {{ reject = 150; add_header = 60; greylist = 50; }}
modules {{ path = "/usr/share/rspamd/plugins/dkim_signing.lua"; }}
dkim_signing {{
  enabled = true; use_esld = false; sign_local = true; allow_username_mismatch = true; try_fallback = false;
  check_pubkey = false; symbol = "DKIM_SIGNED";
{signing}
}}
"""

MAP = '  path = "{folder}/keys/$domain/$selector.key";\n  selector_map = "{folder}/selectors";'
SECTION = '  domain {{\n    .include(try=false) "{folder}/selectors"\n  }}'


@dataclass
class Rspamd:
    """A signing milter: its folder, and the port it listens on."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def conf(self) -> Path:
        """Its configuration file."""
        return self.folder / "rspamd.conf"

    def signer(self, **options: Any) -> rspamd.Adapter:  # noqa: ANN401 - any setting
        """Make the adapter for it."""
        settings: dict[str, Any] = {
            "config": self.folder / "selectors",
            "key_dir": self.folder / "keys",
            "key_group": "_rspamd",
            "key_mode": "0640",
            "check": ("rspamadm", "configtest", "-c", str(self.conf)),
            **options,
        }
        return rspamd.Adapter("rspamd", rspamd.Config(**settings))

    def start(self, signing: str) -> None:
        """Start it, with these lines in dkim_signing."""
        lines = signing.format(folder=self.folder)
        self.conf.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, signing=lines))
        directories = [f"--var={name}={self.folder}" for name in ("DBDIR", "RUNDIR", "LOGDIR")]
        with (self.folder / "start").open("ab") as log:
            self.process = subprocess.Popen(
                ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", self.conf, *directories],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"rspamd did not start: {(self.folder / 'start').read_text()}")

    def stop(self) -> None:
        """Stop it and its workers."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def rspamd_server() -> Iterator[Rspamd]:
    """An rspamd that is not started yet, in a folder of its user."""
    if not shutil.which("rspamd"):
        missing("rspamd is not installed (Debian: apt-get install --no-install-recommends rspamd)")
    if os.geteuid() != 0:
        pytest.skip("its user can be set by root only")
    with tempfile.TemporaryDirectory(prefix="dmarcops-rspamd-", dir="/run") as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        for path in (folder, folder / "tmp"):
            shutil.chown(path, "_rspamd", "_rspamd")
            path.chmod(0o755)
        server = Rspamd(folder, free_port())
        try:
            yield server
        finally:
            server.stop()
