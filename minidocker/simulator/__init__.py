"""The simulator: a model of Linux as plain data, and the reader of steps that performs a plan on it.

Pure, so that it runs on any system without root. What it says is compared with a real kernel by `tests/linux/test_simulator.py`.
"""
