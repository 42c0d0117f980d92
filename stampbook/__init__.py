"""The command line and the embedded composition: the one place that knows all services."""
