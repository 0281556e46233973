"""Who signs: one adapter a file, each for the signing configuration of an MTA or a service."""
