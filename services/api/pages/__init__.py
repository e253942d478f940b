"""Pages for people: made on the server, alive where a browser has script, whole where it has none."""
