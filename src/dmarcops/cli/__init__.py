"""The command line: one file a command group; calls flows and views only."""
