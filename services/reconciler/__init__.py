"""Sees to what nobody came back for; never invents a fact that it did not read."""
