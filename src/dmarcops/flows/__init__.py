"""What dmarcops does, each flow in one straight line over the core, the ports and the store."""
