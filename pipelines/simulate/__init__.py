"""The stage: a simulated shop for demos, tests and load."""
