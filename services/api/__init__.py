"""Speaks HTTP with front ends and people: takes orders into the journal, tells how they go, live if
asked. Nothing of the pipeline needs it to run."""
