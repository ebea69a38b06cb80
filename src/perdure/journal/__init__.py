"""The replay of one action: its records, and the machine that reads them back. No I/O, no clock."""
