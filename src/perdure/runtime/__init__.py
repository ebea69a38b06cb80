"""A job while it is open: recovery, commands, resting runs. An engine drives it."""
