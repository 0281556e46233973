"""What DNS says of a domain's mail, judged: SPF, MTA-STS, TLS-RPT, BIMI, hosts, bulk senders. Does no I/O."""
