"""kopf's part: it delivers the custom resources and is the operator's shell. It decides nothing."""
