"""The control side of a node: what is fetched, tried, stored, flipped. On no request's path."""
