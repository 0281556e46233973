"""Sign-off reports as documents: HTML, PDF, Markdown, JSON."""
