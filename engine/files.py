"""The name by which a folder is known as a pack; apart from `engine.manifest`, which needs numpy."""

MANIFEST = "manifest.json"
