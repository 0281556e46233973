"""The version of dmarcops, the one place it stands in."""

__version__ = "0.1.0.dev0"
