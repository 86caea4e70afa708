"""Sets up, opens, tests, bundles. Standard library only, since it runs before anything is installed."""
