"""The data that the dashboard draws: tables of rows, and how they change. It decides nothing."""
