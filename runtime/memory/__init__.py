"""The memory: one clustered bank per marking, nearest-neighbour reading, object visibility."""
