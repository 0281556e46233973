"""What it looks like when the port is one of the other kind of TLS, for IMAP, POP3 and SMTP alike. Does no I/O."""

import ssl

PORT_OF_STARTTLS = 'is it the port of tls = "starttls"?'
"""The hint about a server that answers implicit TLS with something else."""
PORT_OF_IMPLICIT = 'with implicit TLS a server says nothing first: is it the port of tls = "implicit"?'
"""The hint about a server of which no greeting came."""


def is_no_tls(error: Exception) -> bool:
    """Tell whether a server that is to speak TLS at once said something else."""
    return isinstance(error, ssl.SSLError) and "WRONG_VERSION" in str(error.reason)
