"""The gateway: snapshot and stream of boards, quotes and signals for any number of clients."""
