"""What lies between two parties: lines, relays, balancers, receivers."""
