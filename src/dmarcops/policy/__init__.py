"""
DMARC policy: the record, what reports say against a stricter one, the steps, and the signatures under them.

Pure: no database, no network, no files, no clock, and nothing happens at import time.
"""
