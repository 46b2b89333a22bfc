"""What a runtime does with runs beyond driving them: plans, sessions, replays, deliveries, captured changes."""
