"""dmarcops: DMARC aggregate reports, DKIM rotation and policy steps as one loop."""
