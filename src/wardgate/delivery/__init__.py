"""Sending codes and notices: a durable outbox, and gateways behind `port.py` that take one message at a time.

The engine puts a message into the outbox in the same commit as the challenge that it belongs to; the outbox worker hands
it to the gateways in order until one takes it or its life ends. Imports storage's port, crypto, clock, errors; never the engine.
Begin with `outbox.py`.
"""
