"""The cost of a network: parameters, FLOPs, time and memory."""
