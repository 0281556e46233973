"""
Reading DMARC aggregate reports: `unpack` finds them, `parse` reads them, `align` explains them.

Pure: no database, no network, no files, and nothing happens at import time.
"""
