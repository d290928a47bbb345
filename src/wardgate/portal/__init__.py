"""The account page ("direct access"): what protects a person's account, where it is signed in, and what happened lately.

Every page asks for a session and drives the engine or the session room; none decides anything. May import: pages, session, account,
audit, directory's port, storage and the helpers of `web`. Begin reading with `routes.py`.
"""
