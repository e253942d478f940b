"""The rows of the fault matrix that need no plug: messages, clocks and limits.

``python -m tests.matrix F14`` runs one at its stated counts, and ends with 1 where a promise is broken.
"""
