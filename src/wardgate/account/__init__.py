"""What we add to a user of some directory: our own subject id, the links to directories, authenticators, contacts.

Everything hangs on the subject id and the directory's immutable id, never on a name: a new person with an old name inherits
nothing. Functions return operations for a storage unit so that the caller commits them with its audit event.
Imports the ports of storage and directory, crypto and clock. Begin with `subject.py`.
"""
