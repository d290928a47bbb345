"""The tables of attributes: the standard ones, those of vendors without a profile, and those of the vendor profiles.

`BUILT_IN` holds all of them. The numbers come from the RFCs named in each table and from the makers' documents; the
names are those that the makers and the common servers use, so that what an operator copies from a manual works here.
"""

from wardgate.radius.attributes import Dictionary
from wardgate.radius.dictionaries.others import OTHERS
from wardgate.radius.dictionaries.standard import STANDARD
from wardgate.radius.vendors import VENDORS

BUILT_IN = Dictionary([*STANDARD, *OTHERS, *(definition for profile in VENDORS for definition in profile.attributes)])
