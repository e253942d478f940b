"""The local stack: a private Postgres, S3 and RabbitMQ, without containers and without questions.

It owns what runs and lies under its root, and touches nothing else on the machine.
"""

from deploy.local.stack.errors import PartMissing, StackError
from deploy.local.stack.isolation import Isolation
from deploy.local.stack.stack import Stack

__all__ = ["Isolation", "PartMissing", "Stack", "StackError"]
