"""Holds what is deployed against the tools of its own kind: ``python -m deploy.check``.

No cluster, no container engine and no account: only what can be told from the files.
"""
