"""`python -m dmarcops`."""

from dmarcops.cli.main import run

if __name__ == "__main__":
    run()
