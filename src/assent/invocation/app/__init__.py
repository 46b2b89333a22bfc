"""What lives as long as an application: its modules, configuration, shared state, health and metrics."""
