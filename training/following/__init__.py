"""What follows from what a model's answers show: a training, and its version through the gates."""
