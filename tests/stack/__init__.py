"""The parts of the production stack, as they are run there."""
