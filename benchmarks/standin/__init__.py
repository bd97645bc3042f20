"""On PYTHONPATH of a measured server only: what an ONNX file cannot do by itself."""
