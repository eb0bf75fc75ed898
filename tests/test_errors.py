from collector.errors import known_names


def test_the_nearest_names_come_first_and_the_others_are_counted():
    names = [f"by-owner/{number}" for number in range(30)]
    text = known_names("By-Owner/17x", names)
    assert text.startswith("by-owner/17, ")
    assert text.endswith(" and 20 more")
    assert len(text.split(", ")) == 10
    assert known_names("x", []) == "none"
