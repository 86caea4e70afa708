"""One reader a kind of file; each runs in a child process (`kb.readers.process`), never in the caller's."""
