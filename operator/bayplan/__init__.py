"""Batch jobs and long-running services, packed onto the fewest, cheapest nodes."""

__version__ = "0.1.0"
