"""One by one, or by the provider's list: which costs fewer reads. Pure."""

from enum import StrEnum
from math import ceil

# Predictions on one page of the list.
PAGE = 100
# Below it a list saves nothing worth its detour: its entries may tell less than single answers.
FEW = 20


class Way(StrEnum):
    ONE_BY_ONE = "one by one"
    BY_LIST = "by list"


def cheaper_way(*, silent: int, made: int) -> Way:
    """How to ask about ``silent`` predictions, where ``made`` were bought from the first of them to
    the last. One page more than these fill is reckoned with: the account may have other users."""
    pages = ceil(made / PAGE) + 1
    return Way.BY_LIST if silent >= FEW and pages < silent else Way.ONE_BY_ONE
