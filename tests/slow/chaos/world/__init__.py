"""What stories happen to: databases, masters, sites and the people beside them."""
