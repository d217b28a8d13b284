"""One file is one process: arguments, settings, session, wiring, run."""
