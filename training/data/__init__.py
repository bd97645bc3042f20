"""Where data comes from and what must hold before anything is fitted to it."""
