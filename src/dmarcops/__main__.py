"""`python -m dmarcops`, and the script of that name."""

import sys


def run() -> None:
    """Run the program; a Ctrl-C while its modules are loaded is told as every other."""
    try:
        from dmarcops.cli.main import run as run_loaded  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.stderr.write("dmarcops: interrupted\n")
        sys.exit(130)
    run_loaded()


if __name__ == "__main__":
    run()
