"""kopf's part: it delivers custom resources and runs the operator's shell. It decides nothing."""
