"""The shared kernel: what a version, a bundle, a gate and a ledger entry are.

Imports nothing of ours.
"""
