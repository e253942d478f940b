"""Counts each closed slot once and ends the job exactly once; never decides a slot's fate."""
