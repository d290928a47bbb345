"""How the portal looks and speaks for an organisation: its name, logo, colour, help and legal links, one set for each realm.

`settings.py` is what an operator may say, `colours.py` derives every colour from the one that he names and refuses what could not
be read, `svg.py` and `png.py` rewrite a logo so that only shapes are left of it, `looks.py` puts a version of the configuration
together for the pages. Nobody's HTML, CSS or script gets in, and no picture from elsewhere. Imports the base only.
"""
