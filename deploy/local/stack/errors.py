"""What the local stack says to people when it cannot stand up."""


class StackError(Exception):
    """One sentence: what is wrong, and the command that mends it."""


class PartMissing(StackError):
    """A server's program is not on this machine and could not be fetched."""
