"""The pages of the app, one file each. They draw rows of the library and write job rows; a worker process does the work."""
