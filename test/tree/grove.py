# SPDX-License-Identifier: Apache-2.0
"""A grove of one's own: livetree.py compiles grove.c into the directory for temporary files, where tests
that run at the same time would write over the program that another's trees are running."""
import contextlib
import os
import tempfile


@contextlib.contextmanager
def own():
    """For this process and those that it starts; theirs is the one of who started them."""
    if os.getpid() == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="coppice-grove-") as top:
        tempfile.tempdir = os.environ["TMPDIR"] = top
        yield
