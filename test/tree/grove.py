# SPDX-License-Identifier: Apache-2.0
"""What is not of this repository: treemodel.py, a model of the kernel, grove.c, a program that plays a
history on the real one, and livetree.py, which drives that."""
import contextlib
import importlib
import os
import sys
import tempfile


def load(*names):
    """These modules, from ../shared/trees beside the checkout or the directory in $COPPICE_TREES. Where
    they are not there the test is skipped."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.environ.get("COPPICE_TREES") or os.path.join(here, "..", "..", "..", "shared", "trees")
    sys.path.insert(0, path)
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as e:
        print("skipped: no %s.py in %s" % (e.name, os.path.normpath(path)))
        sys.exit(77)


@contextlib.contextmanager
def own():
    """A grove of one's own, for this process and those that it starts, whose grove is the one of who
    started them: livetree.py compiles grove.c into the directory for temporary files, where tests that run
    at the same time would write over the program that another's trees are running."""
    if os.getpid() == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="coppice-grove-") as top:
        tempfile.tempdir = os.environ["TMPDIR"] = top
        yield
