"""DKIM: keys, records, the life of a selector, and the evidence that it works."""
