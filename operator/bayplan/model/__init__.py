"""The nouns: what the scheduler knows of pods, nodes and custom resources. Pure values, no I/O."""
