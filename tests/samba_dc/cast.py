"""Who is in the domain of the tests, and under which rules. Plain values: the keeper reads them, and so do tests.

Tests that change anything, or try wrong passwords, make accounts of their own (`DomainController.add_user`); these here stay as
they are for whoever uses the same server at the same time.
"""

from dataclasses import dataclass, field

REALM = "ACME.TEST"
NETBIOS = "ACME"
DNS_DOMAIN = "acme.test"
BASE = "DC=acme,DC=test"
HOST = "dc1.acme.test"
ADDRESS = "127.0.0.10"
# A second domain controller, which joins when a test asks for it, and lags behind from then on.
SECOND_HOST = "dc2.acme.test"
SECOND_ADDRESS = "127.0.0.11"

PASSWORD = "Passw0rd-of-1815"  # of everybody who has no other
ADMINISTRATOR_PASSWORD = "Adm1nistrator-of-1815"
SERVICE_DN = f"CN=svc-sspr,OU=Service,{BASE}"
READER_DN = f"CN=svc-read,OU=Service,{BASE}"
SERVICE_PASSWORD = "Serv1ce-of-1815"

# Three rights on this OU for svc-sspr; none anywhere else.
STAFF = f"OU=Staff,{BASE}"
# Nobody has rights here but administrators.
GUARDED = f"OU=Guarded,{BASE}"
GROUPS = f"OU=Groups,{BASE}"
# Accounts that tests make; delegated as STAFF is.
SCRATCH = f"OU=Scratch,{STAFF}"
PSO_CONTAINER = f"CN=Password Settings Container,CN=System,{BASE}"
# For accounts of tests whose passwords follow no rule and are never locked.
LAX_PSO = f"CN=lax,{PSO_CONTAINER}"
FINE_PSO = f"CN=fine,{PSO_CONTAINER}"
YOUNG_PSO = f"CN=young,{PSO_CONTAINER}"

# The domain's own rules.
MIN_LENGTH, HISTORY, MAX_AGE_DAYS, LOCKOUT_THRESHOLD, LOCKOUT_MINUTES = 8, 5, 42, 5, 30

LATE, SPARE = 10, 10

NEVER = 9_223_372_036_854_775_807


@dataclass(frozen=True)
class Person:
    """One account. `attributes` are written as they stand, `raw` past the server into its database."""

    sam: str
    cn: str = ""
    ou: str = STAFF
    attributes: dict[str, list[str]] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    control: int = 512

    @property
    def dn(self) -> str:
        """Its DN, with the comma in a name escaped."""
        return f"CN={(self.cn or self.sam).replace(',', chr(92) + ',')},{self.ou}"


@dataclass(frozen=True)
class Group:
    """`kind`: groupType (global, universal or distribution)."""

    name: str
    kind: int
    members: tuple[str, ...] = ()


GLOBAL, UNIVERSAL, DISTRIBUTION = -2147483646, -2147483640, 2

ISTANBUL = f"OU=Istanbul,{STAFF}"
PEOPLE = (
    Person(
        "alice",
        "Alice Kaya",
        ISTANBUL,
        {
            "displayName": ["Alice Kaya"],
            "mail": ["Alice.Kaya@acme.test"],
            "mobile": ["0532 123 45 67"],
            "otherMobile": ["+90 533 765 43 21"],
            "telephoneNumber": ["1234"],
            "preferredLanguage": ["tr-TR"],
        },
    ),
    Person("burak", "Burak Demir", attributes={"mail": ["burak@acme.test"], "mobile": ["+905329876543"]}),
    Person("gül", "Gül Işık", ISTANBUL, {"displayName": ["Gül Işık"], "mail": ["gul.isik@acme.test"]}),
    Person("psmith", "Smith (Contractor), Pat"),
    Person("expired", raw={"pwdLastSet": "130000000000000000"}),
    # Expired too, for tests that change that: each can be used once.
    *(Person(f"late{number}", raw={"pwdLastSet": "130000000000000000"}) for number in range(LATE)),
    # For tests that change something and want to see it unchanged elsewhere.
    *(Person(f"spare{number}") for number in range(SPARE)),
    Person("mustchange", attributes={"pwdLastSet": ["0"]}),
    Person("disabled", control=514),
    Person("gone", attributes={"accountExpires": ["130000000000000000"]}),
    Person("nightless", attributes={"logonHours": ["\0" * 21]}),
    Person("elsewhere", attributes={"userWorkstations": ["NOWHERE"]}),
    Person("locked", raw={"badPwdCount": "5", "lockoutTime": "now", "badPasswordTime": "now"}),
    Person("fine"),
    Person("young"),
    Person("never", control=512 | 0x10000),
    Person("chief", attributes={"adminCount": ["1"]}),
    Person("guarded", ou=GUARDED),
)

MEMBERS = {
    "VPN Users": Group("VPN Users", GLOBAL, ("alice", "burak")),
    "Inner": Group("Inner", GLOBAL, ("alice", "Outer")),
    "Middle": Group("Middle", GLOBAL, ("Inner",)),
    "Outer": Group("Outer", GLOBAL, ("Middle",)),
    "Everywhere": Group("Everywhere", UNIVERSAL, ("alice",)),
    "Newsletter": Group("Newsletter", DISTRIBUTION, ("alice",)),
    "Müdürler": Group("Müdürler", UNIVERSAL, ("gül",)),
}


def person(sam: str) -> Person:
    """The person with this account name."""
    return next(each for each in PEOPLE if each.sam == sam)


def member_dn(name: str) -> str:
    """The DN of who is a member: a person or a group."""
    return f"CN={name},{GROUPS}" if name in MEMBERS else person(name).dn
