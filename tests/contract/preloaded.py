"""What the processes of `trainer` are forked with; importing it starts no thread."""

import mlflow
import mlflow.sklearn
import onnxruntime
import skl2onnx
import sklearn.ensemble

import tests.contract.trainer

__all__ = ["mlflow", "onnxruntime", "skl2onnx", "sklearn", "tests"]
