"""What is made of the prediction log: windows in MLflow, verdicts, metrics, a report a week."""
