"""What is measured: the demo, the load it runs under, and the numbers the README claims."""
