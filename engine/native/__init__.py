"""One small C library for the engine's arithmetic and reads, and the numpy twin that defines what it computes."""
