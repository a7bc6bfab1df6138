"""What fair shares cost: rules, blocks held ahead, a queue."""
