"""Converting versions that others registered, which are code, into ONNX that workers can load.

`package.py` does it; whatever executes code of the version is below `__main__.py`, a process that
is confined first (`confinement.py`) and started, watched and ended by `sandbox.py`.
"""
