"""Looking at a study: tiles of slides and layers cut on demand, and the answers of a server."""
