"""The migrations of the store, oldest first. Each is frozen: it never changes once released, and imports no table."""
