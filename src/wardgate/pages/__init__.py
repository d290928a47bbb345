"""The pages of a login: user name and password, the open question, another way, sign-out. Every door with a browser shares them.

A page decides nothing: it hands what was typed to the engine and shows what came back. What a browser is in the middle of is a row
(`steps.py`) at one address, so that reloading, Back and a second tab show the truth.

May import: engine, session, audit, storage and the helpers of `web`. Begin reading with `sign_in.py`.
"""
