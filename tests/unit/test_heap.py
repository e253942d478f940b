"""What a large piece of work took is given back when it is over."""

import subprocess
import sys

import pytest

MIB = 1 << 20
SAID = """
import ctypes
import sys
import psutil
from shared import heap

if sys.argv[1] == "given back":
    heap.give_back()
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
c.malloc.argtypes = [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]

def block(size):
    where = c.malloc(size)
    ctypes.memset(where, 1, size)  # or it would take no memory
    return where

held = psutil.Process().memory_info
before = held().rss
c.free(block(16 << 20))  # the heap learns that so large a block comes and goes
blocks = []
for _ in range(16):
    blocks.append(block(4 << 20))
    block(100 << 10)  # stays, between the large ones
for one in blocks:
    c.free(one)
print(held().rss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
def test_large_blocks_leave_nothing_behind() -> None:
    assert kept("given back") < 8 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="the heap of glibc")
def test_without_it_they_do() -> None:
    assert kept("as it comes") > 32 * MIB


def kept(how: str) -> int:
    """Bytes by which a process is larger after 16 blocks of 4 MiB have come and gone."""
    done = subprocess.run(
        [sys.executable, "-c", SAID, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)
