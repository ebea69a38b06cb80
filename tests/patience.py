"""How long a test waits for what has to come before it takes it for hung.

It measures nothing: a slow machine is no fault, and no test says how fast something is. What is to
be quick is compared with something that the same test timed, or happens in simulated time.
"""

PATIENCE = 300.0  # seconds
