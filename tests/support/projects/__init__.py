"""What tests put into an estate: projects, papers, agreements, plans, certificates."""
