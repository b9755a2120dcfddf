"""Looking at a server that runs: what it counts, what its calls carry. Costs nothing while nobody
looks."""
