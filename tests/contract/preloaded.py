"""What the processes of `trainer` are forked with: all that a training would import first."""

import matplotlib.pyplot
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.utils.search_logged_model_utils
import onnxruntime
import pyarrow.parquet
import skl2onnx
import sklearn.datasets
import sklearn.ensemble
import skops.io

import tests.contract.trainer

__all__ = [
    "matplotlib",
    "mlflow",
    "onnxruntime",
    "pyarrow",
    "skl2onnx",
    "sklearn",
    "skops",
    "tests",
]
