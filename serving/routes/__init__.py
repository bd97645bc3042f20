"""One blueprint a protocol; each is thin around `serving/answer.py` or the manager's tables."""
