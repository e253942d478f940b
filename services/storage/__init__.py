"""Copies outputs into our bucket before Replicate deletes them; trusts no URL, size or type."""
