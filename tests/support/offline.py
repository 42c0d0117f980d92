"""The offline verifier of examples/, as a module: it is no part of any package."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.support.installation import ROOT

PATH = ROOT / "examples" / "verify_offline.py"


def offline() -> ModuleType:
    """The script, loaded once."""
    if PATH.stem not in sys.modules:
        spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[PATH.stem] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[PATH.stem]
