"""Where messages come from: one adapter a file."""
