"""What another document would mean for whom: how many users gain, lose or change a requirement, and who could not come in any more.

    effects.py      two decisions about one person side by side: pure
    situations.py   from where and through which NAS people log in, as far as the policies look at that: pure
    standing.py     a document as decisions need it: policies by application, NAS, realms with their directories: pure
    enrolments.py   what the users of one page have enrolled, read in bulk
    people.py       the facts of a user, and of whom one decision has to be made because policies cannot tell them apart
    counting.py     what is counted, with some names for each kind of effect
    rest.py         work in slices
    measuring.py    the walk over all users, in slices between which logins go on

Nothing is written and nobody is asked for a password. May import what admin may; begin with `measuring.py`.
"""

from wardgate.admin.impact.measuring import Progress, Wanted, decides_otherwise, measure, unheard

__all__ = ["Progress", "Wanted", "decides_otherwise", "measure", "unheard"]
