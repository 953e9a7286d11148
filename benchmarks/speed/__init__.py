"""Speed: every case is timed against a plain loop on the same machine, in the same invocation, in alternation."""
