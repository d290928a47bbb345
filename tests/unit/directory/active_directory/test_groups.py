from wardgate.directory.active_directory.groups import Group, aliases_of


def test_a_floor_on_one_of_two_groups_of_the_same_name_still_finds_its_dn() -> None:
    groups = (Group("Admins", ("cn=admins,dc=a", "s-1-1")), Group("Admins", ("cn=admins,dc=b", "s-1-2")), Group("S-1-9", ()))
    assert aliases_of(groups) == {"Admins": ("cn=admins,dc=a", "s-1-1", "cn=admins,dc=b", "s-1-2")}
