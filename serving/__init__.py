"""The serving tier: requests on one side, swaps on the other; they meet at the page."""
