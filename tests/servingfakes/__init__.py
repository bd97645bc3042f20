"""What the tests of `serving` share: small models, version folders, stand-in workers, a node."""
