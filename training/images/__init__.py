"""Pictures of eyes: drawn, read, told apart and shown."""
