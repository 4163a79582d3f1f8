"""Every reason for which a start can fail: provoked, read as its user reads it, and timed."""
